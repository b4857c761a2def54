// Which loops are busy most of the time: these are looked at in their short busy phases too, so
// that it can be told what fills them. Nobody else pays for that.
#include <numeric>

#include "daemon/live/live_source.h"

namespace loopsight {
namespace {

constexpr uint64_t kLookNs = 2'000'000'000;
constexpr double kCrowdedShare = 0.7;  // of the time

}  // namespace

void LiveSource::note_load(uint32_t row, const ls_loop& loop, Shown& shown, uint64_t now_ns) {
  if (!samples_busy_ || now_ns < shown.load_ns + kLookNs) return;
  uint64_t busy = std::accumulate(std::begin(loop.busy_ns), std::end(loop.busy_ns), uint64_t{0});
  bool is_first = shown.load_ns == 0;
  uint64_t passed = now_ns - shown.load_ns;
  uint64_t more = busy > shown.load_busy_ns ? busy - shown.load_busy_ns : 0;
  shown.load_ns = now_ns;
  shown.load_busy_ns = busy;
  bool crowded =
      !is_first && static_cast<double>(more) >= static_cast<double>(passed) * kCrowdedShare;
  if (crowded == shown.crowded) return;
  shown.crowded = crowded;
  tracer_.sample_busy(row, loop.generation, crowded);
}

}  // namespace loopsight
