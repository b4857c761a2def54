// How much CPU a process may use and uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace loopsight {

// CPUs that the tightest quota among the process's cgroups allows, by cpu.max (version 2) or
// cpu.cfs_quota_us (version 1); nothing where there is none. `cgroup_root` is /sys/fs/cgroup.
std::optional<double> read_cpu_quota(const std::string& proc_root, const std::string& cgroup_root,
                                     uint32_t pid);

// "50000 100000" -> 0.5; nothing of "max 100000" and of anything else.
std::optional<double> parse_cpu_max(std::string_view text);

}  // namespace loopsight
