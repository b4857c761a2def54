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
#include "daemon/host/cgroup_levels.h"
#include "daemon/python/process_names.h"
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

  // Names of workloads, from now on; what was read before is to be read again.
  void set_naming_rules(NamingRules rules) { names_->set_rules(std::move(rules)); }
  void forget(uint32_t tgid) { names_->forget(tgid); }  // it has ended

  const std::string& proc_root() const { return proc_root_; }

 private:
  template <typename Read>
  auto bounded(uint32_t tgid, Read work);

  std::string proc_root_;
  std::shared_ptr<BoundedReads> reads_;
  std::shared_ptr<PythonFiles> files_ = std::make_shared<PythonFiles>(proc_root_);
  std::shared_ptr<CgroupLevels> levels_ = std::make_shared<CgroupLevels>(proc_root_);
  std::shared_ptr<ProcessNames> names_ = std::make_shared<ProcessNames>(proc_root_);
};

}  // namespace loopsight
