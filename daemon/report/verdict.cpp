#include "daemon/report/verdict.h"

#include <cmath>

namespace loopsight {
namespace {

constexpr uint64_t kFewest = 10;
constexpr double kDeviations = 2;

}  // namespace

// With equal rates the number after is, of all of them, binomial with the share of its window.
Verdict compare_rates(uint64_t before, double before_seconds, uint64_t after,
                      double after_seconds) {
  if (before_seconds <= 0 || after_seconds <= 0 || before + after < kFewest)
    return Verdict::kTooFew;
  auto all = static_cast<double>(before + after);
  double share = after_seconds / (before_seconds + after_seconds);
  double deviation = std::sqrt(all * share * (1 - share));
  double distance = (static_cast<double>(after) - all * share) / deviation;
  if (std::abs(distance) < kDeviations) return Verdict::kNoClearChange;
  if (distance < 0) return after == 0 ? Verdict::kGone : Verdict::kFewer;
  return before == 0 ? Verdict::kNew : Verdict::kMore;
}

const char* verdict_text(Verdict verdict) {
  switch (verdict) {
    case Verdict::kTooFew: return "too few to tell";
    case Verdict::kNoClearChange: return "no clear change";
    case Verdict::kFewer: return "fewer";
    case Verdict::kMore: return "more";
    case Verdict::kGone: return "gone";
    case Verdict::kNew: return "new";
  }
  return "";
}

}  // namespace loopsight
