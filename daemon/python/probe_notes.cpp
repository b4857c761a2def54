#include "daemon/python/probe_notes.h"

#include <asm/ptrace.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <utility>

namespace loopsight {
namespace {

constexpr uint32_t kStapsdtType = 3;
constexpr size_t kAddressBytes = 3 * sizeof(uint64_t);  // site, base, semaphore

struct KnownProbe {
  std::string_view name;
  ls_probe_kind kind;
  uint32_t arguments;  // that are read
};
constexpr KnownProbe kProbes[] = {
    {"gc__start", LS_PROBE_GC_START, 1},
    {"gc__done", LS_PROBE_GC_DONE, 0},
    {"import__find__load__start", LS_PROBE_IMPORT_START, 1},
    {"import__find__load__done", LS_PROBE_IMPORT_DONE, 0},
    {"audit", LS_PROBE_AUDIT, 2},
    {"function__entry", LS_PROBE_FUNCTION_ENTRY, 3},
};

#define LS_REGISTER(name) offsetof(pt_regs, name)
// The names of a register's 64, 32, 16 and low 8 bits.
struct Register {
  std::array<std::string_view, 4> names;
  size_t offset;
};
constexpr Register kRegisters[] = {
    {{"rax", "eax", "ax", "al"}, LS_REGISTER(rax)},
    {{"rbx", "ebx", "bx", "bl"}, LS_REGISTER(rbx)},
    {{"rcx", "ecx", "cx", "cl"}, LS_REGISTER(rcx)},
    {{"rdx", "edx", "dx", "dl"}, LS_REGISTER(rdx)},
    {{"rsi", "esi", "si", "sil"}, LS_REGISTER(rsi)},
    {{"rdi", "edi", "di", "dil"}, LS_REGISTER(rdi)},
    {{"rbp", "ebp", "bp", "bpl"}, LS_REGISTER(rbp)},
    {{"rsp", "esp", "sp", "spl"}, LS_REGISTER(rsp)},
    {{"r8", "r8d", "r8w", "r8b"}, LS_REGISTER(r8)},
    {{"r9", "r9d", "r9w", "r9b"}, LS_REGISTER(r9)},
    {{"r10", "r10d", "r10w", "r10b"}, LS_REGISTER(r10)},
    {{"r11", "r11d", "r11w", "r11b"}, LS_REGISTER(r11)},
    {{"r12", "r12d", "r12w", "r12b"}, LS_REGISTER(r12)},
    {{"r13", "r13d", "r13w", "r13b"}, LS_REGISTER(r13)},
    {{"r14", "r14d", "r14w", "r14b"}, LS_REGISTER(r14)},
    {{"r15", "r15d", "r15w", "r15b"}, LS_REGISTER(r15)},
};
#undef LS_REGISTER

std::optional<uint16_t> find_register(std::string_view name) {
  if (!name.starts_with('%')) return std::nullopt;
  name.remove_prefix(1);
  for (const Register& one : kRegisters)
    if (std::find(one.names.begin(), one.names.end(), name) != one.names.end())
      return static_cast<uint16_t>(one.offset);
  return std::nullopt;
}

template <typename Number>
bool parse_whole(std::string_view text, Number& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "%rbp" or "%rbp,%rax,8"
bool parse_address(std::string_view text, ls_probe_argument& argument) {
  size_t comma = text.find(',');
  auto base = find_register(text.substr(0, comma));
  if (!base) return false;
  argument.base = *base;
  if (comma == std::string_view::npos) return true;
  text.remove_prefix(comma + 1);
  comma = text.find(',');
  auto index = find_register(text.substr(0, comma));
  if (!index) return false;
  argument.index = *index;
  if (comma == std::string_view::npos) return true;
  int scale = 0;
  if (!parse_whole(text.substr(comma + 1), scale)) return false;
  if (scale != 1 && scale != 2 && scale != 4 && scale != 8) return false;
  argument.scale = static_cast<uint8_t>(scale);
  return true;
}

std::optional<uint64_t> file_offset(const std::vector<ElfSegment>& segments, uint64_t address) {
  for (const ElfSegment& segment : segments)
    if (address >= segment.address && address - segment.address < segment.size)
      return segment.offset + (address - segment.address);
  return std::nullopt;
}

// Takes a NUL-terminated string off the front; nothing where it does not end.
std::optional<std::string_view> take_string(std::string_view& bytes) {
  size_t end = bytes.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view text = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  return text;
}

bool parse_arguments(std::string_view text, uint32_t wanted, ls_probe_spec& spec) {
  while (spec.arguments < wanted) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    size_t end = std::min(text.find(' '), text.size());
    auto argument = parse_probe_argument(text.substr(0, end));
    if (!argument) return false;
    spec.argument[spec.arguments++] = *argument;
    text.remove_prefix(end);
  }
  return true;
}

enum class Outcome { kNotOurs, kUnreadable, kRead };

Outcome parse_description(std::string_view bytes, uint64_t stapsdt_base,
                          const std::vector<ElfSegment>& segments, ProbeSite& site) {
  std::array<uint64_t, 3> addresses{};
  if (bytes.size() < kAddressBytes) return Outcome::kNotOurs;
  std::memcpy(addresses.data(), bytes.data(), kAddressBytes);
  bytes.remove_prefix(kAddressBytes);
  auto provider = take_string(bytes);
  auto name = take_string(bytes);
  auto arguments = take_string(bytes);
  if (!provider || *provider != "python" || !name) return Outcome::kNotOurs;
  const auto* known = std::find_if(std::begin(kProbes), std::end(kProbes),
                                   [&](const KnownProbe& one) { return one.name == *name; });
  if (known == std::end(kProbes)) return Outcome::kNotOurs;
  site.spec.kind = known->kind;
  // Prelinking may move the code after the note was written; the base section tells by how much.
  uint64_t moved = stapsdt_base != 0 && addresses[1] != 0 ? stapsdt_base - addresses[1] : 0;
  auto offset = file_offset(segments, addresses[0] + moved);
  if (!offset || !arguments || !parse_arguments(*arguments, known->arguments, site.spec))
    return Outcome::kUnreadable;
  site.offset = *offset;
  if (addresses[2] == 0) return Outcome::kRead;
  auto semaphore = file_offset(segments, addresses[2] + moved);
  if (!semaphore) return Outcome::kUnreadable;
  site.semaphore = *semaphore;
  return Outcome::kRead;
}

}  // namespace

std::optional<ls_probe_argument> parse_probe_argument(std::string_view text) {
  ls_probe_argument argument{.offset = 0,
                             .base = LS_NO_REGISTER,
                             .index = LS_NO_REGISTER,
                             .scale = 1,
                             .in_memory = 0,
                             .size = 8,
                             .is_signed = 0};
  size_t at = text.find('@');
  int size = 0;
  if (at == std::string_view::npos || !parse_whole(text.substr(0, at), size)) return std::nullopt;
  argument.is_signed = size < 0;
  size = std::abs(size);
  if (size != 1 && size != 2 && size != 4 && size != 8) return std::nullopt;
  argument.size = static_cast<uint8_t>(size);
  text.remove_prefix(at + 1);
  int64_t number = 0;
  if (text.starts_with('$')) {
    if (!parse_whole(text.substr(1), number)) return std::nullopt;
    argument.offset = number;
    return argument;
  }
  if (text.ends_with(')')) {
    size_t open = text.find('(');
    if (open == std::string_view::npos) return std::nullopt;
    if (open > 0 && !parse_whole(text.substr(0, open), number)) return std::nullopt;
    argument.offset = number;
    argument.in_memory = 1;
    std::string_view address = text.substr(open + 1, text.size() - open - 2);
    return parse_address(address, argument) ? std::optional(argument) : std::nullopt;
  }
  auto base = find_register(text);
  if (!base) return std::nullopt;
  argument.base = *base;
  return argument;
}

ProbeNotes parse_probe_notes(std::string_view notes, uint64_t stapsdt_base,
                             const std::vector<ElfSegment>& segments) {
  struct Head {
    uint32_t name_size;
    uint32_t description_size;
    uint32_t type;
  };
  ProbeNotes found;
  Head head{};
  auto padded = [](uint64_t size) { return (size + 3) & ~uint64_t{3}; };
  while (notes.size() >= sizeof(head) && found.sites.size() < kMaxProbeSites) {
    std::memcpy(&head, notes.data(), sizeof(head));
    notes.remove_prefix(sizeof(head));
    uint64_t name_bytes = padded(head.name_size);
    if (name_bytes > notes.size() || head.description_size > notes.size() - name_bytes) break;
    std::string_view name = notes.substr(0, head.name_size);
    std::string_view description = notes.substr(name_bytes, head.description_size);
    notes.remove_prefix(
        std::min<uint64_t>(name_bytes + padded(head.description_size), notes.size()));
    if (head.type != kStapsdtType || name != std::string_view("stapsdt\0", 8)) continue;
    ProbeSite site;
    Outcome outcome = parse_description(description, stapsdt_base, segments, site);
    if (outcome == Outcome::kRead) found.sites.push_back(site);
    if (outcome == Outcome::kUnreadable) found.unreadable++;
  }
  return found;
}

}  // namespace loopsight
