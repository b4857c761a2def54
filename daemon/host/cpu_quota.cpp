#include "daemon/host/cpu_quota.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr size_t kMaxLevels = 32;  // of a cgroup's path

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> share(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<double> read_quota(const std::string& directory, bool version2) {
  if (version2) return parse_cpu_max(read_proc_file(directory + "/cpu.max", 64).value_or(""));
  return share(number(read_proc_file(directory + "/cpu.cfs_quota_us", 32).value_or("")),
               number(read_proc_file(directory + "/cpu.cfs_period_us", 32).value_or("")));
}

// The tightest on the way from the cgroup up to the root.
std::optional<double> tightest(const std::string& root, std::string path, bool version2) {
  std::optional<double> least;
  if (path.find("/..") != std::string::npos) return least;  // outside what we see
  for (size_t level = 0; level < kMaxLevels && !path.empty(); level++) {
    auto quota = read_quota(root + path, version2);
    if (quota) least = least ? std::min(*least, *quota) : *quota;
    size_t slash = path.rfind('/');
    if (slash == std::string::npos) break;
    path.resize(slash);
  }
  return least;
}

bool lists_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(comma == std::string_view::npos ? controllers.size() : comma + 1);
  }
  return false;
}

}  // namespace

std::optional<double> parse_cpu_max(std::string_view text) {
  size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  return share(number(text.substr(0, blank)), number(text.substr(blank + 1)));
}

std::optional<double> read_cpu_quota(const std::string& proc_root, const std::string& cgroup_root,
                                     uint32_t pid) {
  std::string lines =
      read_proc_file(fmt::format("{}/{}/cgroup", proc_root, pid), 65536).value_or("");
  std::string_view rest = lines;
  std::optional<double> least;
  auto add = [&](std::optional<double> quota) {
    if (quota) least = least ? std::min(*least, *quota) : *quota;
  };
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string path(line.substr(second + 1));
    if (controllers.empty()) {  // version 2, alone or beside version 1
      add(tightest(cgroup_root, path, true));
      add(tightest(cgroup_root + "/unified", path, true));
    } else if (lists_cpu(controllers)) {
      add(tightest(fmt::format("{}/{}", cgroup_root, controllers), path, false));
      if (controllers != "cpu") add(tightest(cgroup_root + "/cpu", path, false));
    }
  }
  return least;
}

}  // namespace loopsight
