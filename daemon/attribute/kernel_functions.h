// In which of the kernel's functions a thread slept, and what that says of the cause.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bpf/wire.h"
#include "daemon/event/event.h"

namespace loopsight {

class KernelFunctions {
 public:
  void on_function(const KernelFunction& function);
  // The functions of a stack that are known, innermost first, without those of the scheduler and
  // of the entry into the kernel, which stand in each.
  std::vector<std::string> names(const ls_kernel_stack& stack) const;

 private:
  std::map<uint32_t, std::string> names_;  // by number
};

// What a wait for the process's memory turns out to be by the functions that it was in.
struct MemoryWait {
  uint32_t cause = LS_CAUSE_LOCK;
  const char* target = "the process's memory map";
  bool at_limit = false;  // the cgroup's
};
MemoryWait memory_wait(const std::vector<std::string>& functions);

}  // namespace loopsight
