// Who gave a cgroup its name. A folder's name is given by whoever may write to the folder above it:
// below user@1000.service that is the user, who may call a group postgresql.service or
// docker-<64 digits>.scope; in a container it may be the container. What root alone could name is
// believed, and nothing below.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace loopsight {

class CgroupLevels {
 public:
  // Looks at the hierarchies that we see ourselves, and for what is outside our own cgroup
  // namespace at those of process 1 of `proc_root`.
  explicit CgroupLevels(std::string proc_root) : proc_root_(std::move(proc_root)) {}

  // The beginning of `path`, a path of the hierarchy with these controllers as /proc/PID/cgroup
  // shows both, whose names root gave: every folder above them is root's, nobody else may write to
  // it, and it was not handed over (systemd's Delegate=). Container runtimes' services are handed
  // over to themselves, and what they name is believed. "" where the hierarchy cannot be looked at.
  // May be called by several threads.
  std::string_view named_by_root(std::string_view controllers, std::string_view path);

 private:
  struct Hierarchy {
    std::string folder;            // where it is mounted
    size_t above = 0;              // how many levels it begins above our own namespace's root
    std::vector<std::string> own;  // the way from it down to that root; `above` names
  };
  using Hierarchies = std::multimap<std::string, Hierarchy, std::less<>>;  // by controllers
  std::shared_ptr<const Hierarchies> hierarchies(std::string_view controllers);
  void read_mounts(const std::string& process, const std::string& root, Hierarchies& found) const;

  std::string proc_root_;
  std::mutex mutex_;  // of all below
  std::shared_ptr<const Hierarchies> hierarchies_;
  std::chrono::steady_clock::time_point read_again_;
};

// The parts of a line of mountinfo that say where a cgroup hierarchy is.
struct CgroupMount {
  std::string root;         // "/", or "/../.." where it begins above our namespace's root
  std::string where;        // as process 1 sees it
  std::string controllers;  // as /proc/PID/cgroup has them; "" for version 2
};
bool parse_cgroup_mount(std::string_view line, CgroupMount& mount);

}  // namespace loopsight
