#include "daemon/totals/loop_condition.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr double kIdleShare = 0.01;
constexpr double kSaturatedShare = 0.9;
constexpr double kBlockedShare = 0.05;  // of all time, in busy phases over the threshold
constexpr uint32_t kManyCallbacks = 20;

}  // namespace

void LoopLoad::add(const LoopProgress& progress) {
  for (uint64_t ns : progress.busy) busy_ns += ns;
  idle_ns += progress.idle_ns;
  over_ns += progress.over_ns;
  stalled_ns = progress.stalled_ns;
  if (progress.ready > 0) ready = progress.ready;
}

LoopCondition condition_of(const LoopLoad& load) {
  auto busy = static_cast<double>(std::max(load.busy_ns, load.stalled_ns));
  auto over = static_cast<double>(load.over_ns + load.stalled_ns);
  double total = busy + static_cast<double>(load.idle_ns);
  if (total == 0) return LoopCondition::kNotRunning;
  if (busy < total * kIdleShare) return LoopCondition::kIdle;
  bool saturated = busy >= total * kSaturatedShare;
  if (saturated && load.ready >= kManyCallbacks) return LoopCondition::kSaturated;
  if (load.stalled_ns > 0 || (over * 2 >= busy && over >= total * kBlockedShare))
    return LoopCondition::kBlocked;
  return saturated ? LoopCondition::kSaturated : LoopCondition::kHealthy;
}

}  // namespace loopsight
