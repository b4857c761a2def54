#include "daemon/attribute/kernel_functions.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace loopsight {
namespace {

constexpr size_t kMaxFunctions = 8192;
constexpr size_t kMaxNames = 8;

// How a thread falls asleep and how it came into the kernel.
constexpr std::array<std::string_view, 26> kEverywhere = {
    "__schedule",
    "__schedule_loop",
    "schedule",
    "schedule_idle",
    "schedule_preempt_disabled",
    "schedule_timeout",
    "schedule_hrtimeout_range",
    "schedule_hrtimeout_range_clock",
    "io_schedule",
    "io_schedule_timeout",
    "preempt_schedule",
    "preempt_schedule_common",
    "preempt_schedule_irq",
    "__cond_resched",
    "__traceiter_sched_switch",
    "do_syscall_64",
    "x64_sys_call",
    "entry_SYSCALL_64_after_hwframe",
    "entry_SYSCALL_64_safe_stack",
    "syscall_exit_to_user_mode",
    "exit_to_user_mode_loop",
    "asm_exc_page_fault",
    "exc_page_fault",
    "do_user_addr_fault",
    "ret_from_fork",
    "ret_from_fork_asm",
};

bool tells(std::string_view name) {
  return std::find(kEverywhere.begin(), kEverywhere.end(), name) == kEverywhere.end() &&
         !name.starts_with("__x64_sys_") && !name.starts_with("__se_sys_") &&
         !name.starts_with("bpf_");
}

struct Telling {
  std::string_view part;  // of a function's name
  MemoryWait wait;
};

constexpr MemoryWait kAtLimit = {LS_CAUSE_OTHER, "memory, at its cgroup's limit", true};

// The first one that stands in the stack tells: a page fault that had its lock waits for memory.
constexpr std::array<Telling, 10> kTelling = {{
    {"kvm_async_pf", {LS_CAUSE_PAGE_FAULT, "memory that the virtual machine's host has to read"}},
    {"userfault", {LS_CAUSE_OTHER, "whoever serves its page faults (userfaultfd)"}},
    {"mem_cgroup_oom", kAtLimit},
    {"mem_cgroup_handle_over_high", kAtLimit},
    {"try_to_free_mem_cgroup", kAtLimit},
    {"try_charge_memcg", kAtLimit},
    {"compact", {LS_CAUSE_PAGE_FAULT, "memory to be compacted"}},
    {"try_to_free_pages", {LS_CAUSE_PAGE_FAULT, "memory to be freed"}},
    {"migration_entry_wait", {LS_CAUSE_PAGE_FAULT, "a page that is being moved"}},
    {"swap", {LS_CAUSE_PAGE_FAULT, "memory to be read from swap"}},
}};

}  // namespace

void KernelFunctions::on_function(const KernelFunction& function) {
  if (names_.size() < kMaxFunctions) names_[function.number] = function.name;
}

std::vector<std::string> KernelFunctions::names(const ls_kernel_stack& stack) const {
  std::vector<std::string> names;
  for (uint64_t number : stack.address) {
    if (number == 0 || names.size() == kMaxNames) break;
    auto found = names_.find(static_cast<uint32_t>(number));
    if (found != names_.end() && tells(found->second)) names.push_back(found->second);
  }
  return names;
}

MemoryWait memory_wait(const std::vector<std::string>& functions) {
  for (const Telling& one : kTelling)
    for (const std::string& name : functions)
      if (name.find(one.part) != std::string::npos) return one.wait;
  return {};
}

}  // namespace loopsight
