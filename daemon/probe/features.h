// What this kernel can do for us, found by trying, never by version.
#pragma once

#include <string>
#include <vector>

namespace loopsight {

struct Feature {
  std::string name;
  bool ok = false;
  bool required = false;
  std::string detail;  // what it is used for, or why it is missing
  std::string remedy;  // what to do about it; "" where nothing is wrong
};

// True where the kernel lets a program be attached to a function's entry. Some kernels refuse this
// by policy with CAP_SYS_ADMIN held, so only loading and attaching one tells.
bool can_attach_fentry(const char* function);

// True where the kernel has a tracepoint and lets a program be attached to it.
bool can_attach_tracepoint(const char* event);

// True where the sched_switch tracepoint hands over the previous task's state (Linux 5.18).
bool sched_switch_has_prev_state();

// True where the scheduler's tick is a high-resolution timer and comes on every CPU on which a
// thread runs: the tracepoint hrtimer_expire_entry sees it.
bool ticks_are_timers();

// Everything that `loopsight check` shows of the kernel. Needs the rights to load BPF programs for
// a true answer; without them the features that need them are reported as missing for that reason.
std::vector<Feature> probe_features();

}  // namespace loopsight
