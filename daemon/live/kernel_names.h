// The kernel's functions in which loops slept, on their way to the pipeline: each has a number
// instead of its address, which nobody outside is to know.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bpf/wire.h"
#include "daemon/event/event.h"
#include "daemon/host/kernel_symbols.h"

namespace loopsight {

class KernelNames {
 public:
  explicit KernelNames(const std::string& symbols = "/proc/kallsyms") : symbols_(symbols) {}
  // Puts numbers in the place of the addresses, 0 and nothing after it where no name is known.
  // Returns the functions that were not told before.
  std::vector<KernelFunction> number(ls_kernel_stack& stack, uint64_t now_ns);

 private:
  KernelSymbols symbols_;
  std::map<uint64_t, uint32_t> numbers_;  // by address; 0: it has no name
  uint32_t last_ = 0;
};

}  // namespace loopsight
