// Who owns a process: from /proc and the cgroup file system, remembered as long as it lives.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "daemon/base/owner.h"

namespace loopsight {

// The path below the unified hierarchy's root in a /proc/PID/cgroup; "" where there is none.
std::string unified_cgroup(std::string_view text);

class Owners {
 public:
  explicit Owners(std::string proc_root = "/proc", std::string cgroup_root = "/sys/fs/cgroup");

  Owner of(uint32_t tgid);
  // A child has its parent's owner, which can be told of it no longer once it has ended.
  void on_fork(uint32_t parent, uint32_t child);
  void forget(uint32_t tgid) { known_.erase(tgid); }

 private:
  Owner read(uint32_t tgid) const;
  uint64_t number_of(const std::string& cgroup) const;

  std::string proc_root_;
  std::string cgroup_root_;          // of the unified hierarchy
  std::map<uint32_t, Owner> known_;  // by tgid
};

}  // namespace loopsight
