// How much the timeline keeps of all loops together: what one may have alone, thousands may not.
#include "daemon/correlate/stack_samples.h"
#include "daemon/correlate/timeline.h"

namespace loopsight {
namespace {

constexpr size_t kMaxSamples = 200;    // of one busy phase; then about half of them are let go
constexpr size_t kMaxHeldStalls = 64;  // of a row that waits for its verdict
// Of all rows; then each keeps the few that tell most.
constexpr size_t kMaxAllSamples = 32768;
constexpr size_t kMaxAllHeldStalls = 2048;
constexpr size_t kFewSamples = 8;
constexpr size_t kFewHeldStalls = 2;
constexpr uint64_t kCountEvery = 4096;

}  // namespace

size_t Timeline::most_held() {
  if (held_stalls_ < kMaxAllHeldStalls) return kMaxHeldStalls;
  held_stalls_ = 0;
  for (const auto& [row, loop] : loops_) held_stalls_ += loop.held.size();
  return held_stalls_ < kMaxAllHeldStalls ? kMaxHeldStalls : kFewHeldStalls;
}

// Counts, now and then, what all busy phases keep, and makes room where it is too much.
size_t Timeline::most_samples() {
  if (++stacks_ % kCountEvery == 0) {
    size_t all = 0;
    for (const auto& [row, loop] : loops_) all += loop.samples.size();
    crowded_ = all > kMaxAllSamples;
    for (auto& [row, loop] : loops_) {
      if (!crowded_ || loop.samples.size() <= kFewSamples) continue;
      while (loop.samples.size() > kFewSamples) thin_out(loop.samples);
      loop.samples.shrink_to_fit();
    }
  }
  return crowded_ ? kFewSamples : kMaxSamples;
}

}  // namespace loopsight
