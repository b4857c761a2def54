#include "daemon/host/owners.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <functional>

#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr size_t kMostKnown = 65536;
constexpr size_t kMostLevels = 64;

std::string_view take_line(std::string_view& text) {
  size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// The first number of "Uid:\t1000\t1000\t1000\t1000", the real one.
uint32_t real_user(std::string_view status) {
  constexpr std::string_view kName = "Uid:\t";
  uint32_t user = Owner::kNobody;
  while (!status.empty()) {
    std::string_view line = take_line(status);
    if (!line.starts_with(kName)) continue;
    line.remove_prefix(kName.size());
    std::from_chars(line.data(), line.data() + line.size(), user);
    break;
  }
  return user;
}

}  // namespace

std::string unified_cgroup(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = take_line(text);
    if (line.starts_with("0::")) return std::string(line.substr(3));
  }
  return "";
}

Owners::Owners(std::string proc_root, std::string cgroup_root)
    : proc_root_(std::move(proc_root)), cgroup_root_(std::move(cgroup_root)) {
  // Beside the hierarchies of version 1 it is mounted there.
  if (access((cgroup_root_ + "/cgroup.procs").c_str(), F_OK) != 0 &&
      access((cgroup_root_ + "/unified/cgroup.procs").c_str(), F_OK) == 0)
    cgroup_root_ += "/unified";
}

// As the kernel side has it (shares.bpf.h). Where the folder cannot be seen, of its name.
uint64_t Owners::number_of(const std::string& cgroup) const {
  uint64_t number = 0;
  struct stat status{};
  for (size_t end = 0, levels = 0; levels < kMostLevels && end < cgroup.size(); levels++) {
    end = cgroup.find('/', end + 1);
    if (end == std::string::npos) end = cgroup.size();
    if (stat((cgroup_root_ + cgroup.substr(0, end)).c_str(), &status) != 0)
      return std::hash<std::string>{}(cgroup);
    number = status.st_ino;
    if (status.st_uid != 0) return number;
  }
  return number;
}

Owner Owners::read(uint32_t tgid) const {
  std::string directory = fmt::format("{}/{}/", proc_root_, tgid);
  Owner owner;
  owner.user = real_user(read_proc_file(directory + "status", 4096).value_or(""));
  if (owner.user == Owner::kNobody) return owner;
  owner.cgroup =
      number_of(unified_cgroup(read_proc_file(directory + "cgroup", 65536).value_or("")));
  return owner;
}

Owner Owners::of(uint32_t tgid) {
  auto found = known_.find(tgid);
  if (found != known_.end()) return found->second;
  Owner owner = read(tgid);
  if (owner.user == Owner::kNobody) return owner;
  if (known_.size() >= kMostKnown) known_.clear();  // all of it can be read again
  known_.emplace(tgid, owner);
  return owner;
}

void Owners::on_fork(uint32_t parent, uint32_t child) {
  auto found = known_.find(parent);
  if (found != known_.end() && known_.size() < kMostKnown) known_[child] = found->second;
}

}  // namespace loopsight
