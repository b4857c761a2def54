#include "daemon/python/python_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "daemon/python/elf_file.h"
#include "daemon/python/python_layout.h"

namespace loopsight {
namespace {

constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxFilesOfProcess = 1024;  // that are looked into; hundreds are usual
constexpr size_t kMaxRodataBytes = 16 << 20;
constexpr const char* kAsyncioDebug = ".AsyncioDebug";
constexpr size_t kMaxAsyncioDebugBytes = 256;

// A symbol that each version exported first; before 3.11 nothing in the file says the version
// outright. _PyRuntime itself is from 3.7. Checked against the .dynsym of CPython 3.7 to 3.15.
constexpr std::pair<const char*, int> kFirstIn[] = {
    {"PyCode_NewWithPosOnlyArgs", 8},
    {"PyFrame_GetCode", 9},
    {"PyIter_Send", 10},
    {"Py_Version", 11},
};

// The PY_VERSION literal ("3.9.2") of an interpreter before 3.11: a C string, which the linker may
// have merged with the end of a longer one ("/opt/python-3.9.2").
std::string find_version_literal(const ElfFile& file, int minor) {
  std::string rodata = file.read_section(".rodata", kMaxRodataBytes);
  std::string prefix = fmt::format("3.{}.", minor);
  for (size_t at = rodata.find(prefix); at != std::string::npos; at = rodata.find(prefix, at + 1)) {
    if (at > 0 &&
        (std::isdigit(static_cast<unsigned char>(rodata[at - 1])) || rodata[at - 1] == '.'))
      continue;
    constexpr size_t kTooLong = 16;
    size_t length = strnlen(rodata.data() + at, std::min(rodata.size() - at, kTooLong));
    std::string_view text(rodata.data() + at, length);
    std::string_view patch = text.substr(prefix.size());
    bool plausible =
        length < kTooLong && !patch.empty() && patch[0] >= '0' && patch[0] <= '9' &&
        std::all_of(
            patch.begin(), patch.end(),
            [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '+'; });
    if (plausible) return std::string(text);
  }
  return fmt::format("3.{}", minor);
}

// PY_VERSION_HEX: 0x030b02f0 is 3.11.2 final (patchlevel.h).
std::optional<PythonFile> from_version_hex(uint32_t hex) {
  uint32_t major = hex >> 24;
  uint32_t minor = hex >> 16 & 0xFF;
  uint32_t level = hex >> 4 & 0xF;
  if (major != 3 || minor > 99) return std::nullopt;
  std::string version = fmt::format("3.{}.{}", minor, hex >> 8 & 0xFF);
  const char* suffix = level == 0xA ? "a" : level == 0xB ? "b" : level == 0xC ? "rc" : nullptr;
  if (suffix) version += fmt::format("{}{}", suffix, hex & 0xF);
  return PythonFile{.minor = static_cast<int>(minor), .version = version};
}

// Where a file was loaded: the mapping shows bytes of one of its segments.
uint64_t load_base(const PythonFile& file, const Mapping& mapping) {
  for (const ElfSegment& segment : file.segments) {
    uint64_t page_start = segment.offset & ~uint64_t{0xFFF};
    if (mapping.offset < page_start || mapping.offset >= segment.offset + segment.size) continue;
    return mapping.start - (segment.address - segment.offset + mapping.offset);
  }
  return mapping.start - mapping.offset;
}

std::optional<PythonFiles::Identity> identity_of(const Fd& fd) {
  struct stat status{};
  if (!fd || fstat(fd.get(), &status) != 0) return std::nullopt;
  return PythonFiles::Identity{status.st_dev, status.st_ino, status.st_size, status.st_ctim.tv_sec,
                               status.st_ctim.tv_nsec};
}

}  // namespace

std::optional<PythonFile> read_python_file(int fd) {
  auto file = ElfFile::open(fd);
  if (!file) return std::nullopt;
  std::set<std::string, std::less<>> names = {"_PyRuntime", "PyCode_Type", "PyCFunction_Type",
                                              "PyMethodDescr_Type"};
  for (const auto& [name, minor] : kFirstIn) names.emplace(name);
  auto symbols = file->find_symbols(names);
  if (!symbols.contains("_PyRuntime")) return std::nullopt;
  std::optional<PythonFile> python;
  if (auto version = symbols.find("Py_Version"); version != symbols.end()) {
    auto bytes = file->read_at(version->second.address, sizeof(uint32_t));
    uint32_t hex = 0;
    if (!bytes) return std::nullopt;
    std::memcpy(&hex, bytes->data(), sizeof(hex));
    python = from_version_hex(hex);
    if (!python) return std::nullopt;
  } else {
    int minor = 7;
    for (const auto& [name, first] : kFirstIn)
      if (symbols.contains(name)) minor = first;
    python = PythonFile{.minor = minor, .version = find_version_literal(*file, minor)};
  }
  python->runtime = symbols["_PyRuntime"].address;
  python->code_type = symbols["PyCode_Type"].address;
  python->function_type = symbols["PyCFunction_Type"].address;
  python->method_type = symbols["PyMethodDescr_Type"].address;
  python->asyncio_debug = file->read_section(kAsyncioDebug, kMaxAsyncioDebugBytes);
  python->debug_offsets = file->read_at(python->runtime, kDebugOffsetsBytes).value_or("");
  python->segments = file->segments();
  python->probes = parse_probe_notes(file->read_section(".note.stapsdt", kMaxNoteBytes),
                                     file->section_address(".stapsdt.base"), python->segments);
  struct stat status{};
  if (fstat(fd, &status) == 0) {
    python->owner = status.st_uid;
    python->trusted = status.st_uid == 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  }
  return python;
}

std::optional<PythonFiles::Found> PythonFiles::find(uint32_t pid,
                                                    const std::vector<Mapping>& mappings) {
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const Mapping& mapping : mappings) {
    if (!mapping.executable || !seen.insert({mapping.device, mapping.inode}).second) continue;
    if (seen.size() > kMaxFilesOfProcess) break;
    Fd fd = open_mapping(proc_root_, pid, mapping);
    auto identity = identity_of(fd);
    if (!identity) continue;
    auto known = known_.find(*identity);
    if (known == known_.end()) {
      if (known_.size() >= kMaxFiles) known_.clear();
      known = known_.emplace(*identity, read_python_file(fd.get())).first;
    }
    if (known->second)
      return Found{.file = *known->second,
                   .identity = *identity,
                   .base = load_base(*known->second, mapping),
                   .mapping = mapping};
  }
  return std::nullopt;
}

Fd PythonFiles::reopen(uint32_t pid, const Found& found) const {
  Fd fd = open_mapping(proc_root_, pid, found.mapping);
  return identity_of(fd) == found.identity ? std::move(fd) : Fd();
}

std::string PythonFiles::read_asyncio_debug(uint32_t pid, const Mapping& mapping) const {
  Fd fd = open_mapping(proc_root_, pid, mapping);
  if (!fd) return "";
  auto file = ElfFile::open(fd.get());
  return file ? file->read_section(kAsyncioDebug, kMaxAsyncioDebugBytes) : "";
}

}  // namespace loopsight
