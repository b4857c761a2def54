#include "daemon/correlate/stack_samples.h"

#include <algorithm>
#include <utility>

namespace loopsight {

void thin_out(std::vector<StackSample>& samples) {
  std::vector<StackSample> kept;
  StackSample* last = nullptr;
  kept.reserve(samples.size());
  for (const StackSample& sample : samples) {
    if (last && sample.source == LS_STACK_OF_SAMPLE) {
      last->slice_ns += sample.slice_ns;
      last = nullptr;
      continue;
    }
    kept.push_back(sample);
    if (sample.source == LS_STACK_OF_SAMPLE) last = &kept.back();
  }
  // Where there are mostly waits, the shortest go.
  if (kept.size() >= samples.size() - samples.size() / 8) {
    std::stable_sort(kept.begin(), kept.end(), [](const StackSample& a, const StackSample& b) {
      return a.slice_ns > b.slice_ns;
    });
    kept.resize(kept.size() / 2);
  }
  samples = std::move(kept);
}

}  // namespace loopsight
