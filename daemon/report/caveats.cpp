#include <fmt/format.h>

#include <algorithm>

#include "daemon/report/markdown.h"

namespace loopsight {
namespace {

constexpr uint64_t kFewStalls = 20;

std::string plural(uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

// Iterations a second of watched time, 0 where not known.
double pace(const Tally& tally) {
  double window = tally.window_seconds();
  return window > 0 ? tally.iterations() / window : 0;
}

}  // namespace

std::vector<std::string> caveats(const NamedTally& one) {
  const Tally& tally = one.tally;
  std::string in = fmt::format(" in {}", as_code(one.name));
  std::vector<std::string> found;
  if (tally.durations().count() == 0)
    found.push_back("There is no stall" + in + ".");
  else if (tally.durations().count() < kFewStalls)
    found.push_back(fmt::format("There {} only {}{}: percentiles of so few say little.",
                                tally.durations().count() == 1 ? "is" : "are",
                                plural(tally.durations().count(), "stall", "stalls"), in));
  if (!tally.watched_seconds() && tally.span())
    found.push_back("How long was watched is not" + in +
                    " (no summary line): rates are over the time from the first stall to the last, "
                    "which makes them too high.");
  if (!tally.durations().is_exact()) found.push_back("Percentiles" + in + " are within 2 %.");
  if (tally.never_ended() > 0)
    found.push_back(fmt::format("{}{} had not ended; counted as far as seen.",
                                plural(tally.never_ended(), "stall", "stalls"), in));
  if (tally.lost() > 0)
    found.push_back(
        fmt::format("{:.0f} records were lost{}: some stalls have no line.", tally.lost(), in));
  if (tally.folded() > 0)
    found.push_back(fmt::format("{}{} of further culprits are summed as (other).",
                                plural(tally.folded(), "stall", "stalls"), in));
  if (tally.bad_lines() > 0)
    found.push_back(fmt::format("{}{} could not be read and {} left out.",
                                plural(tally.bad_lines(), "line", "lines"), in,
                                tally.bad_lines() == 1 ? "was" : "were"));
  return found;
}

std::vector<std::string> caveats(const NamedTally& before, const NamedTally& after) {
  std::vector<std::string> found = caveats(before);
  for (std::string& one : caveats(after)) found.push_back(std::move(one));
  double first = before.tally.window_seconds();
  double second = after.tally.window_seconds();
  if (first > 0 && second > 0 && std::max(first, second) > 2 * std::min(first, second))
    found.push_back(
        fmt::format("The two windows differ in length ({} and {}): compare the rates, "
                    "not the counts.",
                    seconds_text(first), seconds_text(second)));
  double slow = std::min(pace(before.tally), pace(after.tally));
  double fast = std::max(pace(before.tally), pace(after.tally));
  if (slow > 0 && fast > 1.5 * slow)
    found.push_back(
        fmt::format("The loops ran {:.0f} iterations a second before and {:.0f} after: "
                    "the load may not have been the same.",
                    pace(before.tally), pace(after.tally)));
  found.push_back(
      "A change is called one where it is beyond two standard deviations of chance, for stalls "
      "that "
      "do not depend on each other; stalls often come together, so repeat a close result.");
  return found;
}

}  // namespace loopsight
