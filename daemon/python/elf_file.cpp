#include "daemon/python/elf_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace loopsight {
namespace {

constexpr size_t kMaxSections = 512;
constexpr size_t kMaxSegments = 128;
constexpr uint64_t kMaxSymbols = 200000;  // a large libpython has about 5000
constexpr uint64_t kMaxStringBytes = 32ULL << 20;

}  // namespace

bool ElfFile::read_exactly(uint64_t offset, void* buffer, size_t size) const {
  auto* out = static_cast<char*>(buffer);
  if (offset > INT64_MAX - size) return false;
  while (size > 0) {
    ssize_t got = pread(fd_, out, size, static_cast<off_t>(offset));
    if (got <= 0) return false;
    out += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<size_t>(got);
  }
  return true;
}

Result<ElfFile> ElfFile::open(int fd) {
  ElfFile file(fd);
  Elf64_Ehdr header;
  if (!file.read_exactly(0, &header, sizeof(header)) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return failure("not an ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
    return failure("not a 64-bit little-endian ELF file");
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kMaxSegments)
    return failure("ELF program headers are damaged");
  file.segments_.resize(header.e_phnum);
  if (!file.read_exactly(header.e_phoff, file.segments_.data(),
                         file.segments_.size() * sizeof(Elf64_Phdr)))
    return failure("ELF program headers are cut off");
  // Section headers are a convenience that a strange file may lack.
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum > kMaxSections ||
      header.e_shstrndx >= header.e_shnum)
    return file;
  std::vector<Elf64_Shdr> headers(header.e_shnum);
  if (!file.read_exactly(header.e_shoff, headers.data(), headers.size() * sizeof(Elf64_Shdr)))
    return file;
  const Elf64_Shdr& names = headers[header.e_shstrndx];
  for (const Elf64_Shdr& raw : headers) {
    std::array<char, 32> name{};
    if (raw.sh_name < names.sh_size)
      file.read_exactly(names.sh_offset + raw.sh_name, name.data(),
                        std::min<uint64_t>(name.size() - 1, names.sh_size - raw.sh_name));
    file.sections_.push_back({name.data(), raw});
  }
  return file;
}

const ElfFile::Section* ElfFile::section(std::string_view name) const {
  auto found = std::find_if(sections_.begin(), sections_.end(),
                            [&](const Section& section) { return section.name == name; });
  return found == sections_.end() ? nullptr : &*found;
}

std::vector<ElfSegment> ElfFile::segments() const {
  std::vector<ElfSegment> loadable;
  for (const Elf64_Phdr& segment : segments_)
    if (segment.p_type == PT_LOAD)
      loadable.push_back(
          {.offset = segment.p_offset, .address = segment.p_vaddr, .size = segment.p_filesz});
  return loadable;
}

bool ElfFile::has_section(std::string_view name) const { return section(name) != nullptr; }

uint64_t ElfFile::section_address(std::string_view name) const {
  const Section* found = section(name);
  return found ? found->header.sh_addr : 0;
}

std::optional<ElfFile::SymbolTable> ElfFile::symbol_table() const {
  const Section* symbols = section(".dynsym");
  const Section* strings = section(".dynstr");
  if (!symbols || !strings) return std::nullopt;
  return SymbolTable{.offset = symbols->header.sh_offset,
                     .count = std::min(symbols->header.sh_size / sizeof(Elf64_Sym), kMaxSymbols),
                     .strings = strings->header.sh_offset,
                     .strings_size = std::min(strings->header.sh_size, kMaxStringBytes)};
}

std::map<std::string, ElfSymbol> ElfFile::find_symbols(
    const std::set<std::string, std::less<>>& names) const {
  std::map<std::string, ElfSymbol> found;
  auto table = symbol_table();
  if (!table) return found;
  std::string strings(table->strings_size, '\0');
  if (!read_exactly(table->strings, strings.data(), strings.size())) return found;
  // No longer than what is looked for: a table may be one name without an end.
  size_t longest = 0;
  for (const std::string& name : names) longest = std::max(longest, name.size());
  std::array<Elf64_Sym, 512> chunk{};
  for (uint64_t first = 0; first < table->count && found.size() < names.size();
       first += chunk.size()) {
    size_t count = std::min<uint64_t>(chunk.size(), table->count - first);
    if (!read_exactly(table->offset + first * sizeof(Elf64_Sym), chunk.data(),
                      count * sizeof(Elf64_Sym)))
      break;
    for (size_t i = 0; i < count; i++) {
      const Elf64_Sym& symbol = chunk[i];
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings.size()) continue;
      const char* name = strings.data() + symbol.st_name;
      std::string_view text(name,
                            strnlen(name, std::min(strings.size() - symbol.st_name, longest + 1)));
      if (names.contains(text))
        found.emplace(text, ElfSymbol{.address = symbol.st_value, .size = symbol.st_size});
    }
  }
  return found;
}

std::optional<std::string> ElfFile::read_at(uint64_t address, size_t size) const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    uint64_t inside = address - segment.p_vaddr;
    if (inside >= segment.p_filesz || size > segment.p_filesz - inside) continue;
    std::string bytes(size, '\0');
    if (!read_exactly(segment.p_offset + inside, bytes.data(), size)) return std::nullopt;
    return bytes;
  }
  return std::nullopt;
}

std::string ElfFile::read_section(std::string_view name, size_t max_bytes) const {
  const Section* found = section(name);
  if (!found || found->header.sh_type == SHT_NOBITS) return {};
  std::string bytes(std::min<uint64_t>(found->header.sh_size, max_bytes), '\0');
  if (!read_exactly(found->header.sh_offset, bytes.data(), bytes.size())) bytes.clear();
  return bytes;
}

}  // namespace loopsight
