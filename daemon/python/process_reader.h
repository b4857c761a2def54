// What a process is: CPython or not, which version, which program, where it runs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bpf/wire.h"
#include "daemon/base/result.h"
#include "daemon/event/event.h"
#include "daemon/host/bounded_reads.h"
#include "daemon/python/python_file.h"

namespace loopsight {

class ProcessReader {
 public:
  explicit ProcessReader(std::string proc_root = "/proc",
                         std::shared_ptr<BoundedReads> reads = std::make_shared<BoundedReads>())
      : proc_root_(std::move(proc_root)), reads_(std::move(reads)) {}

  // Never fails: for a process that is gone or cannot be read, is_python is false and why_not says
  // so; `unread` where it may be asked again. Strings are as the process gave them, bounded but not
  // cleaned.
  ProcessFacts read(uint32_t tgid);

  // For the kernel's frame walk; an error says why this process's frames cannot be read.
  Result<ls_python> layout(uint32_t tgid);

  // The interpreter of a process; nothing where it has none.
  std::optional<PythonFiles::Found> find_python(uint32_t tgid);
  // Its file; nothing where it has changed or gone since.
  Fd reopen_python(uint32_t tgid, const PythonFiles::Found& found);

  const std::string& proc_root() const { return proc_root_; }

 private:
  template <typename Read>
  auto bounded(uint32_t tgid, Read work);

  std::string proc_root_;
  std::shared_ptr<BoundedReads> reads_;
  std::shared_ptr<PythonFiles> files_ = std::make_shared<PythonFiles>(proc_root_);
};

// The name of the program that an interpreter's arguments start: the script's file name, "-m"'s
// module, "-c" for a command line; only that, since arguments may hold secrets. `cmdline` is the
// NUL-separated /proc/PID/cmdline; a process title written over it ("gunicorn: worker [app]")
// gives its first word.
std::string program_name(const std::string& cmdline);

}  // namespace loopsight
