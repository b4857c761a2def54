// What is true of an interpreter's file: that it is CPython, and which version. Known by what the
// file defines, not by its name: an interpreter may be called gunicorn, be linked into a program,
// or be gone from the file system.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/host/proc.h"
#include "daemon/python/elf_file.h"
#include "daemon/python/probe_notes.h"

namespace loopsight {

struct PythonFile {
  int minor = 0;        // of 3.minor
  std::string version;  // "3.11.2"; "3.9" where the patch level cannot be told
  // For reading its processes' frames; addresses as the file has them.
  uint64_t runtime = 0;        // _PyRuntime
  uint64_t code_type = 0;      // PyCode_Type, 0 where it is not exported
  uint64_t function_type = 0;  // PyCFunction_Type
  uint64_t method_type = 0;    // PyMethodDescr_Type
  std::string debug_offsets;   // what the file holds at _PyRuntime (3.13 and newer)
  std::string asyncio_debug;   // its section .AsyncioDebug (3.15; in 3.14 that of _asyncio)
  std::vector<ElfSegment> segments;
  ProbeNotes probes;     // its own probes; no sites where it was built without
  uint32_t owner = 0;    // user id
  bool trusted = false;  // root's, and writable by nobody else: its probes may be attached to
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

  // Device, inode, size and time of change, which a write or a change of rights moves on.
  using Identity = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t>;
  struct Found {
    PythonFile file;
    Identity identity;
    uint64_t base = 0;  // what to add to the file's addresses in this process
    Mapping mapping;    // the one by which it was found
  };
  // The interpreter among the executable mappings of a process.
  std::optional<Found> find(uint32_t pid, const std::vector<Mapping>& mappings);

  // The section .AsyncioDebug of a mapped file, "" without one.
  std::string read_asyncio_debug(uint32_t pid, const Mapping& mapping) const;

  // The file that was found, again; nothing where it has changed or gone since.
  Fd reopen(uint32_t pid, const Found& found) const;

 private:
  std::string proc_root_;
  std::map<Identity, std::optional<PythonFile>> known_;
};

}  // namespace loopsight
