#include "daemon/host/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <ctime>
#include <memory>

namespace loopsight {
namespace {

constexpr size_t kMaxMapsBytes = 16 << 20;
constexpr size_t kMaxMappings = 8192;
constexpr size_t kMaxEpollTargets = 4096;

template <typename Number>
bool parse_number(std::string_view text, Number& value, int base = 10) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

std::string_view take_field(std::string_view& line, char separator) {
  size_t end = line.find(separator);
  std::string_view field = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return field;
}

template <typename OnLine>
void for_each_line(std::string_view text, OnLine on_line) {
  while (!text.empty()) on_line(take_field(text, '\n'));
}

std::string path_of(const std::string& root, uint32_t pid, std::string_view rest) {
  return fmt::format("{}/{}/{}", root, pid, rest);
}

std::vector<uint32_t> list_numbers(const std::string& path) {
  struct Closer {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  std::vector<uint32_t> numbers;
  std::unique_ptr<DIR, Closer> directory(opendir(path.c_str()));
  while (directory) {
    const dirent* entry = readdir(directory.get());
    if (!entry) break;
    uint32_t number = 0;
    if (parse_number(std::string_view(entry->d_name), number)) numbers.push_back(number);
  }
  return numbers;
}

bool parse_mapping(std::string_view line, Mapping& mapping) {
  // 00400000-00422000 r-xp 00001000 fe:00 10952836                  /usr/bin/python3.11
  std::string_view range = take_field(line, ' ');
  std::string_view permissions = take_field(line, ' ');
  std::string_view offset = take_field(line, ' ');
  std::string_view device = take_field(line, ' ');
  std::string_view inode = take_field(line, ' ');
  std::string_view start = take_field(range, '-');
  std::string_view major = take_field(device, ':');
  uint32_t major_number = 0;
  uint32_t minor_number = 0;
  if (!parse_number(start, mapping.start, 16) || !parse_number(range, mapping.end, 16) ||
      !parse_number(offset, mapping.offset, 16) || !parse_number(inode, mapping.inode) ||
      !parse_number(major, major_number, 16) || !parse_number(device, minor_number, 16) ||
      permissions.size() < 4)
    return false;
  mapping.device = static_cast<uint64_t>(major_number) << 32 | minor_number;
  mapping.executable = permissions[2] == 'x';
  size_t path = line.find_first_not_of(' ');
  if (mapping.inode == 0 || path == std::string_view::npos) return false;
  line.remove_prefix(path);
  constexpr std::string_view kDeleted = " (deleted)";
  if (line.ends_with(kDeleted)) line.remove_suffix(kDeleted.size());
  mapping.path = line;
  return true;
}

}  // namespace

std::optional<std::string> read_proc_file(const std::string& path, size_t max_bytes) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return std::nullopt;
  std::string text;
  std::array<char, 16384> buffer{};
  while (text.size() < max_bytes) {
    ssize_t got = read(fd.get(), buffer.data(), std::min(buffer.size(), max_bytes - text.size()));
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  return text;
}

std::vector<uint32_t> list_pids(const std::string& proc_root) { return list_numbers(proc_root); }

namespace {

// A number of /proc/PID/stat; fields count from 1, as in proc(5), and the third is the first here.
std::optional<uint64_t> read_stat_field(const std::string& proc_root, uint32_t pid, int wanted) {
  auto text = read_proc_file(path_of(proc_root, pid, "stat"), 4096);
  // The name in parentheses may hold anything, parentheses and spaces included.
  size_t name_end = text ? text->rfind(')') : std::string::npos;
  if (name_end == std::string::npos || name_end + 2 > text->size()) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(name_end + 2);
  for (int field = 3; field < wanted; field++) take_field(rest, ' ');
  uint64_t value = 0;
  if (!parse_number(take_field(rest, ' '), value)) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint64_t> read_start_ticks(const std::string& proc_root, uint32_t pid) {
  return read_stat_field(proc_root, pid, 22);
}

int64_t process_start_ns(const std::string& proc_root, uint32_t pid) {
  auto now = [](clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  auto ticks = static_cast<int64_t>(read_start_ticks(proc_root, pid).value_or(0));
  int64_t tick_ns = 1'000'000'000 / sysconf(_SC_CLK_TCK);
  return now(CLOCK_REALTIME) - now(CLOCK_BOOTTIME) + ticks * tick_ns;
}

std::optional<uint64_t> read_cpu_time_ns(const std::string& proc_root, uint32_t pid) {
  auto user = read_stat_field(proc_root, pid, 14);
  auto system = read_stat_field(proc_root, pid, 15);
  if (!user || !system) return std::nullopt;
  return (*user + *system) * (1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

std::vector<uint32_t> read_children(const std::string& proc_root, uint32_t pid) {
  std::vector<uint32_t> children;
  for (uint32_t tid : list_numbers(path_of(proc_root, pid, "task"))) {
    auto text =
        read_proc_file(path_of(proc_root, pid, fmt::format("task/{}/children", tid)), 65536);
    std::string_view rest = text ? std::string_view(*text) : std::string_view();
    while (!rest.empty()) {
      uint32_t child = 0;
      if (parse_number(take_field(rest, ' '), child)) children.push_back(child);
    }
  }
  return children;
}

std::vector<Mapping> parse_mappings(std::string_view text) {
  std::vector<Mapping> mappings;
  for_each_line(text, [&](std::string_view line) {
    Mapping mapping;
    if (mappings.size() < kMaxMappings && parse_mapping(line, mapping))
      mappings.push_back(std::move(mapping));
  });
  return mappings;
}

// By the line: the whole of it may be megabytes, for every one of many readers that hang.
std::vector<Mapping> read_mappings(const std::string& proc_root, uint32_t pid) {
  std::vector<Mapping> mappings;
  Fd fd(open(path_of(proc_root, pid, "maps").c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return mappings;
  std::array<char, 65536> buffer{};
  size_t kept = 0;  // of a line whose end is to come
  size_t all = 0;
  while (all < kMaxMapsBytes && mappings.size() < kMaxMappings) {
    ssize_t got = read(fd.get(), buffer.data() + kept, buffer.size() - kept);
    if (got <= 0) break;
    all += static_cast<size_t>(got);
    std::string_view text(buffer.data(), kept + static_cast<size_t>(got));
    size_t end = text.rfind('\n');
    if (end == std::string_view::npos) {
      kept = text.size() < buffer.size() ? text.size() : 0;  // no line is that long
      continue;
    }
    for_each_line(text.substr(0, end), [&](std::string_view line) {
      Mapping mapping;
      if (mappings.size() < kMaxMappings && parse_mapping(line, mapping) && mapping.executable)
        mappings.push_back(std::move(mapping));
    });
    kept = text.size() - end - 1;
    std::copy(text.end() - static_cast<ptrdiff_t>(kept), text.end(), buffer.begin());
  }
  return mappings;
}

Fd open_mapping(const std::string& proc_root, uint32_t pid, const Mapping& mapping) {
  // The names in map_files have no leading zeros, unlike those in maps.
  std::string exact =
      path_of(proc_root, pid, fmt::format("map_files/{:x}-{:x}", mapping.start, mapping.end));
  std::string by_path = path_of(proc_root, pid, "root" + mapping.path);
  for (const std::string& path : {exact, by_path}) {
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status{};
    if (fd && fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_ino == mapping.inode)
      return fd;
  }
  return {};
}

std::vector<int> read_epoll_targets(const std::string& proc_root, uint32_t pid, int epoll_fd) {
  std::vector<int> targets;
  auto text = read_proc_file(path_of(proc_root, pid, fmt::format("fdinfo/{}", epoll_fd)), 1 << 20);
  if (!text) return targets;
  for_each_line(*text, [&](std::string_view line) {
    // tfd:        5 events:       19 data: 5  pos:0 ino:1a2b sdev:8
    if (!line.starts_with("tfd:") || targets.size() >= kMaxEpollTargets) return;
    line.remove_prefix(4);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    int fd = -1;
    if (parse_number(take_field(line, ' '), fd)) targets.push_back(fd);
  });
  return targets;
}

std::string read_descriptor(const std::string& proc_root, uint32_t pid, int fd) {
  return read_link(proc_root, pid, fmt::format("fd/{}", fd));
}

std::string read_link(const std::string& proc_root, uint32_t pid, const std::string& name) {
  std::array<char, PATH_MAX> target{};
  std::string path = path_of(proc_root, pid, name);
  ssize_t length = readlink(path.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<size_t>(length)) : std::string();
}

}  // namespace loopsight
