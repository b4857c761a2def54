// What is true of an interpreter's file: that it is CPython, and which version. Known by what the
// file defines, not by its name: an interpreter may be called gunicorn, be linked into a program,
// or be gone from the file system.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "daemon/attribute/proc.h"

namespace loopsight {

struct PythonFile {
  int minor = 0;        // of 3.minor
  std::string version;  // "3.11.2"; "3.9" where the patch level cannot be told
};

// Reads the version through `fd`; nothing for a file that is not a CPython 3.7 or newer.
std::optional<PythonFile> read_python_file(int fd);

constexpr int kOldestMinor = 8;
constexpr int kNewestMinor = 15;

// Remembers files by identity (device, inode, size, time of change), so that a host with a
// thousand workers of one interpreter parses it once. At most 4096 files, then all are forgotten.
class PythonFiles {
 public:
  explicit PythonFiles(std::string proc_root) : proc_root_(std::move(proc_root)) {}

  // The interpreter among the executable mappings of a process.
  std::optional<PythonFile> find(uint32_t pid, const std::vector<Mapping>& mappings);

 private:
  using Identity = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t>;
  std::string proc_root_;
  std::map<Identity, std::optional<PythonFile>> known_;
};

}  // namespace loopsight
