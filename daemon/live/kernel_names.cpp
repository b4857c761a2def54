#include "daemon/live/kernel_names.h"

#include <algorithm>
#include <iterator>

namespace loopsight {
namespace {

constexpr size_t kMaxAddresses = 8192;

}  // namespace

std::vector<KernelFunction> KernelNames::number(ls_kernel_stack& stack, uint64_t now_ns) {
  std::vector<KernelFunction> fresh;
  ls_kernel_stack numbered{};
  auto* next = std::begin(numbered.address);
  for (uint64_t address : stack.address) {
    if (address == 0) break;
    auto known = numbers_.find(address);
    if (known == numbers_.end()) {
      if (numbers_.size() >= kMaxAddresses) break;
      // An address that a call returns to may be the first one after its function.
      std::string name = symbols_.find(address - 1);
      known = numbers_.emplace(address, name.empty() ? 0 : ++last_).first;
      if (known->second != 0)
        fresh.push_back({.time_ns = now_ns, .number = known->second, .name = name});
    }
    if (known->second != 0) *next++ = known->second;
  }
  stack = numbered;
  return fresh;
}

}  // namespace loopsight
