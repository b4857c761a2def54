// What a loop is doing on the whole: saturated by many small callbacks is another trouble than
// blocked by one.
#pragma once

#include <array>
#include <cstdint>

#include "daemon/correlate/stall.h"

namespace loopsight {

// Not running: between two runs (of run_until_complete, say), when it is neither busy nor idle.
enum class LoopCondition { kIdle, kHealthy, kSaturated, kBlocked, kNotRunning };

constexpr std::array<const char*, 5> kLoopConditionNames = {"idle", "healthy", "saturated",
                                                            "blocked", "not_running"};
inline const char* name_of(LoopCondition condition) {
  return kLoopConditionNames[static_cast<size_t>(condition)];
}

// Sums of one loop over some time.
struct LoopLoad {
  uint64_t busy_ns = 0;  // the running busy phase included
  uint64_t idle_ns = 0;
  uint64_t over_ns = 0;     // of the busy time, in phases over the threshold
  uint64_t stalled_ns = 0;  // the age of the running busy phase where it is over the threshold
  uint32_t ready = 0;       // callbacks of the iteration that was looked at last, 0 not known

  void add(const LoopProgress& progress);
};

// Blocked: a busy phase over the threshold runs, or most of the busy time was in such, with few
// callbacks each. Saturated: hardly any time to wait for anything is left.
LoopCondition condition_of(const LoopLoad& load);

}  // namespace loopsight
