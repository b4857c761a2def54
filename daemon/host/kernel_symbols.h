// Names of the kernel's functions, from /proc/kallsyms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/base/fd.h"

namespace loopsight {

// The file shows addresses to whoever had the right to see them when it was opened (CAP_SYSLOG, or
// kernel.kptr_restrict=0 with kernel.perf_event_paranoid below 2), so it is opened at once and read
// when a name is first asked for. Names take some megabytes.
class KernelSymbols {
 public:
  explicit KernelSymbols(const std::string& path = "/proc/kallsyms");

  // The function that `address` lies in; "" where that is not known. Not for several threads.
  std::string find(uint64_t address);

 private:
  struct Symbol {
    uint64_t address;
    uint32_t name;  // where it begins in names_
  };
  void read();

  Fd file_;
  bool is_read_ = false;
  std::vector<Symbol> symbols_;  // by address
  std::string names_;            // each ends with '\0'
};

}  // namespace loopsight
