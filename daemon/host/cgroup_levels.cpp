#include "daemon/host/cgroup_levels.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "daemon/host/cgroup.h"
#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr size_t kMaxMountInfo = 1 << 20;
constexpr size_t kMaxProcs = 1 << 20;
constexpr size_t kMaxFolders = 20000;  // looked at for our own
constexpr size_t kMaxLevels = 64;
constexpr std::chrono::seconds kReadAgain{10};

std::string_view take(std::string_view& text, char separator) {
  size_t end = text.find(separator);
  std::string_view field = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return field;
}

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty())
    if (auto name = take(path, '/'); !name.empty()) names.push_back(name);
  return names;
}

size_t count_ups(const std::vector<std::string_view>& names) {
  auto first = std::find_if(names.begin(), names.end(), [](auto name) { return name != ".."; });
  return static_cast<size_t>(first - names.begin());
}

std::vector<std::string> list_folders(const std::string& path) {
  struct Closer {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  std::vector<std::string> names;
  std::unique_ptr<DIR, Closer> directory(opendir(path.c_str()));
  while (directory && names.size() < kMaxFolders) {
    const dirent* entry = readdir(directory.get());
    if (!entry) break;
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

bool lists(const std::string& folder, pid_t pid) {
  std::string text = read_proc_file(folder + "/cgroup.procs", kMaxProcs).value_or("");
  return ("\n" + text).find(fmt::format("\n{}\n", pid)) != std::string::npos;
}

// The way down to the cgroup that we are in, which is so deep.
std::optional<std::vector<std::string>> way_to_us(const std::string& root, size_t depth) {
  std::vector<std::vector<std::string>> level = {{}};
  size_t looked_at = 0;
  auto path = [&](const std::vector<std::string>& names) {
    return fmt::format("{}/{}", root, fmt::join(names, "/"));
  };
  for (size_t i = 0; i < depth; i++) {
    std::vector<std::vector<std::string>> next;
    for (const auto& names : level)
      for (std::string& folder : list_folders(path(names))) {
        if (++looked_at > kMaxFolders) return std::nullopt;
        next.push_back(names);
        next.back().push_back(std::move(folder));
      }
    level = std::move(next);
  }
  auto found = std::find_if(level.begin(), level.end(),
                            [&](const auto& names) { return lists(path(names), getpid()); });
  if (found == level.end()) return std::nullopt;
  return *found;
}

// Our own path in a hierarchy, as we see it.
std::string own_path(const std::string& proc_root, std::string_view controllers) {
  std::string text = read_proc_file(proc_root + "/self/cgroup", 65536).value_or("");
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = take(rest, '\n');
    take(line, ':');
    if (take(line, ':') == controllers) return std::string(line);
  }
  return "";
}

bool is_delegated(const std::string& folder) {
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    std::array<char, 8> value{};
    if (getxattr(folder.c_str(), name, value.data(), value.size()) > 0 && value[0] == '1')
      return true;
  }
  return false;
}

// Whether root alone gives names in this folder.
bool is_roots(const std::string& folder, std::string_view name) {
  struct stat status{};
  if (lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
  if (status.st_uid != 0 || status.st_mode & (S_IWGRP | S_IWOTH)) return false;
  return is_container_runtime(name) || !is_delegated(folder);
}

}  // namespace

bool parse_cgroup_mount(std::string_view line, CgroupMount& mount) {
  // 31 25 0:27 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
  for (int field = 0; field < 3; field++) take(line, ' ');
  mount.root = take(line, ' ');
  mount.where = take(line, ' ');
  size_t dash = line.find(" - ");
  if (line.starts_with("- ")) dash = 0;
  if (dash == std::string_view::npos) return false;
  line.remove_prefix(dash + (dash == 0 ? 2 : 3));
  std::string_view kind = take(line, ' ');
  take(line, ' ');
  if (kind != "cgroup" && kind != "cgroup2") return false;
  mount.controllers.clear();
  std::string_view options = take(line, ' ');
  while (kind == "cgroup" && !options.empty()) {
    std::string_view option = take(options, ',');
    constexpr std::array<std::string_view, 8> kOthers = {
        "rw",  "ro", "xattr", "noprefix", "clone_children", "favordynmods", "cpuset_v2_mode",
        "none"};
    if (std::find(kOthers.begin(), kOthers.end(), option) != kOthers.end() ||
        option.starts_with("release_agent="))
      continue;
    if (!mount.controllers.empty()) mount.controllers += ',';
    mount.controllers += option;
  }
  return true;
}

// Adds the hierarchies that are mounted for a process, whose root directory is at `root`.
void CgroupLevels::read_mounts(const std::string& process, const std::string& root,
                               Hierarchies& found) const {
  std::string text = read_proc_file(process + "/mountinfo", kMaxMountInfo).value_or("");
  std::string_view rest = text;
  CgroupMount mount;
  while (!rest.empty()) {
    if (!parse_cgroup_mount(take(rest, '\n'), mount)) continue;
    auto top = split(mount.root);
    Hierarchy hierarchy{.folder = root + mount.where, .above = count_ups(top), .own = {}};
    struct stat status{};
    if (hierarchy.above != top.size() || lstat(hierarchy.folder.c_str(), &status) != 0) continue;
    if (hierarchy.above > 0) {
      std::string own = own_path(proc_root_, mount.controllers);
      auto way = way_to_us(hierarchy.folder, hierarchy.above + split(own).size());
      if (!way) continue;
      way->resize(hierarchy.above);
      hierarchy.own = std::move(*way);
    }
    found.emplace(mount.controllers, std::move(hierarchy));
  }
}

std::shared_ptr<const CgroupLevels::Hierarchies> CgroupLevels::hierarchies(
    std::string_view controllers) {
  auto now = std::chrono::steady_clock::now();
  {
    std::scoped_lock lock(mutex_);
    if (hierarchies_ && (hierarchies_->contains(controllers) || now < read_again_))
      return hierarchies_;
    read_again_ = now + kReadAgain;
  }
  auto found = std::make_shared<Hierarchies>();
  read_mounts(proc_root_ + "/self", "", *found);
  read_mounts(proc_root_ + "/1", proc_root_ + "/1/root", *found);
  std::scoped_lock lock(mutex_);
  hierarchies_ = found;
  return found;
}

std::string_view CgroupLevels::named_by_root(std::string_view controllers, std::string_view path) {
  auto names = split(path);
  size_t ups = count_ups(names);
  if (names.size() > kMaxLevels) return {};
  auto known = hierarchies(controllers);
  auto [first, last_one] = known->equal_range(controllers);
  auto hierarchy =
      std::find_if(first, last_one, [&](const auto& one) { return ups <= one.second.above; });
  if (hierarchy == last_one) return {};
  const auto& [root, above, own] = hierarchy->second;
  std::string folder = root;
  std::string_view last = "";
  auto descend = [&](std::string_view name) {
    if (!is_roots(folder, last)) return false;
    last = name;
    folder += '/';
    folder += name;
    return true;
  };
  for (size_t i = 0; i < above - ups; i++)
    if (!descend(own[i])) return {};
  size_t end = 0;
  for (size_t i = 0; i < names.size(); i++) {
    if (i >= ups && !descend(names[i])) break;
    end = static_cast<size_t>(names[i].data() - path.data()) + names[i].size();
  }
  return path.substr(0, end);
}

}  // namespace loopsight
