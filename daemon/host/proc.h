// Reading /proc of a process that may vanish or lie at any moment. Every function takes the root
// directory of the proc file system, and bounds what it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/fd.h"

namespace loopsight {

// At most `max_bytes` of a file; nothing where it cannot be opened.
std::optional<std::string> read_proc_file(const std::string& path, size_t max_bytes);

std::vector<uint32_t> list_pids(const std::string& proc_root);

// Field 22 of /proc/PID/stat, in clock ticks since boot.
std::optional<uint64_t> read_start_ticks(const std::string& proc_root, uint32_t pid);

// When a process started, CLOCK_REALTIME nanoseconds, to a clock tick.
int64_t process_start_ns(const std::string& proc_root, uint32_t pid);

// User and system time of a process so far, to a clock tick.
std::optional<uint64_t> read_cpu_time_ns(const std::string& proc_root, uint32_t pid);

// The children of all threads of a process.
std::vector<uint32_t> read_children(const std::string& proc_root, uint32_t pid);

struct Mapping {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;  // in the file
  uint64_t device = 0;  // as the maps file spells it: major << 32 | minor
  uint64_t inode = 0;
  bool executable = false;
  std::string path;  // as the kernel spells it, " (deleted)" removed
};

// The executable file mappings of a process, in address order; at most 8192. The text may have
// those that are not.
std::vector<Mapping> read_mappings(const std::string& proc_root, uint32_t pid);
std::vector<Mapping> parse_mappings(std::string_view text);

// Opens the very file behind a mapping, whatever became of its path. Regular files only.
Fd open_mapping(const std::string& proc_root, uint32_t pid, const Mapping& mapping);

// The descriptors that an epoll descriptor of the process watches; at most 4096.
std::vector<int> read_epoll_targets(const std::string& proc_root, uint32_t pid, int epoll_fd);

// What /proc/PID/fd/N points at, "" where it is not open: "socket:[123]", "/var/lib/x.db".
std::string read_descriptor(const std::string& proc_root, uint32_t pid, int fd);

// What /proc/PID/NAME points at ("exe", "cwd"), "" where that cannot be read.
std::string read_link(const std::string& proc_root, uint32_t pid, const std::string& name);

}  // namespace loopsight
