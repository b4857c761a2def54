#include "daemon/host/program_image.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace loopsight {
namespace {

constexpr size_t kMaxStatus = 32768;  // its line of groups may be long

std::optional<std::string> read_at(const Fd& process, const char* name, size_t max_bytes) {
  Fd file(openat(process.get(), name, O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string text(max_bytes, '\0');
  size_t size = 0;
  while (size < max_bytes) {
    ssize_t got = read(file.get(), text.data() + size, max_bytes - size);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

template <typename Number>
bool take_number(std::string_view& text, Number& value, int base = 10) {
  text.remove_prefix(std::min(text.find_first_not_of("\t "), text.size()));
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return error == std::errc() && (text.empty() || text[0] == ' ' || text[0] == '\t');
}

std::optional<std::string_view> line_of(std::string_view text, std::string_view key) {
  size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(at + key.size());
  size_t end = line.find('\n');
  if (end == std::string_view::npos) return std::nullopt;  // cut off
  return line.substr(0, end);
}

std::string link_at(int directory, const char* name) {
  std::array<char, 64> target{};
  ssize_t length = readlinkat(directory, name, target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<size_t>(length)) : std::string();
}

}  // namespace

bool parse_image_stat(std::string_view stat, ProgramImage& image) {
  size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || name_end + 4 > stat.size()) return false;
  stat.remove_prefix(name_end + 4);  // a blank, the state, a blank: fields from the fourth on
  if (stat.ends_with('\n')) stat.remove_suffix(1);
  for (int field = 4; field <= 45; field++) {
    uint64_t* wanted = field == 22   ? &image.start_ticks
                       : field == 26 ? &image.start_code
                       : field == 27 ? &image.end_code
                       : field == 28 ? &image.start_stack
                       : field == 45 ? &image.start_data
                                     : nullptr;
    int64_t other = 0;
    uint64_t value = 0;
    bool taken = wanted ? take_number(stat, value) : take_number(stat, other) || value == 0;
    if (wanted && !taken) return false;
    if (wanted) *wanted = value;
    if (stat.empty() && field < 45) return false;
  }
  // 0 and 1: it has no memory yet, or we may not know.
  return image.start_stack > 1 && image.start_code > 1;
}

bool parse_image_status(std::string_view status, bool is_ours, FileUser& user) {
  auto id_of = [&](std::string_view key, uint32_t& id) {
    auto line = line_of(status, key);
    if (!line) return false;
    for (int i = 0; i < 4; i++)  // the fourth is for access to files
      if (!take_number(*line, id)) return false;
    return line->empty() && id != UINT32_MAX;
  };
  if (!id_of("\nUid:", user.user) || !id_of("\nGid:", user.group)) return false;
  auto groups = line_of(status, "\nGroups:");
  auto effective = line_of(status, "\nCapEff:");
  uint64_t capabilities = 0;
  if (!groups || !effective || !take_number(*effective, capabilities, 16)) return false;
  user.groups.clear();
  for (uint32_t group = 0; take_number(*groups, group);) user.groups.push_back(group);
  if (user.groups.size() > kMaxReaderGroups) user.groups.clear();  // fewer rights, never more
  constexpr uint64_t kReading = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;
  user.reads_all = is_ours && user.user == 0 && (capabilities & kReading) != 0;
  return true;
}

std::optional<ProgramImage> read_image(const Fd& process) {
  ProgramImage image;
  auto stat = read_at(process, "stat", 4096);
  if (!stat || !parse_image_stat(*stat, image)) return std::nullopt;
  // Without asking the file system, which may never answer.
  struct statx file{};
  if (statx(process.get(), "exe", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &file) != 0)
    return std::nullopt;
  image.file_device = makedev(file.stx_dev_major, file.stx_dev_minor);
  image.file_inode = file.stx_ino;
  std::string namespace_name = link_at(process.get(), "ns/user");
  bool is_ours =
      !namespace_name.empty() && namespace_name == link_at(AT_FDCWD, "/proc/self/ns/user");
  auto status = read_at(process, "status", kMaxStatus);
  if (!status || !parse_image_status(*status, is_ours, image.user)) return std::nullopt;
  // The same memory afterwards: else the rights may be those of the next program.
  ProgramImage after;
  stat = read_at(process, "stat", 4096);
  if (!stat || !parse_image_stat(*stat, after) || after.start_ticks != image.start_ticks ||
      after.start_code != image.start_code || after.start_stack != image.start_stack)
    return std::nullopt;
  return image;
}

}  // namespace loopsight
