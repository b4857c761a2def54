// Whether a rate of stalls changed, said no more loudly than the numbers allow.
#pragma once

#include <cstdint>
#include <string>

namespace loopsight {

enum class Verdict { kTooFew, kNoClearChange, kFewer, kMore, kGone, kNew };

// Of `before` stalls in `before_seconds` and `after` in `after_seconds`. Counts of independent
// stalls differ by chance; a change is called one beyond two standard deviations of that, and only
// where both together are ten or more. Stalls that come in bursts are not independent: a close
// result needs another run.
Verdict compare_rates(uint64_t before, double before_seconds, uint64_t after, double after_seconds);

const char* verdict_text(Verdict verdict);

}  // namespace loopsight
