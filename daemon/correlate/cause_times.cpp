#include "daemon/correlate/cause_times.h"

#include <algorithm>

namespace loopsight {
namespace {

uint64_t sum(const CauseTimes& causes) {
  uint64_t total = 0;
  for (uint64_t ns : causes) total += ns;
  return total;
}

uint64_t difference(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

}  // namespace

CauseTimes cause_times(const __u64 (&counted)[LS_PHASE_CAUSES], uint64_t system_ns) {
  CauseTimes causes{};
  std::copy_n(counted, LS_PHASE_CAUSES, causes.begin());
  causes[LS_CAUSE_SYSTEM] = std::min<uint64_t>(system_ns, causes[LS_CAUSE_CPU]);
  causes[LS_CAUSE_CPU] -= causes[LS_CAUSE_SYSTEM];
  return causes;
}

bool balance(Stall& stall) {
  uint64_t total = sum(stall.causes);
  uint64_t duration = stall.duration_ns();
  if (total < duration) stall.causes[LS_CAUSE_UNKNOWN] += duration - total;
  if (total <= duration) return duration - total <= duration / 100;
  for (uint64_t excess = total - duration; excess > 0;) {
    auto largest = std::max_element(stall.causes.begin(), stall.causes.end());
    uint64_t part = std::min(*largest, excess);
    *largest -= part;
    excess -= part;
  }
  return false;
}

CauseTimes take_new(const CauseTimes& total, CauseTimes& counted) {
  CauseTimes busy{};
  uint64_t too_much = 0;
  for (size_t i = 0; i < LS_CAUSES; i++) {
    busy[i] = difference(total[i], counted[i]);
    too_much += difference(counted[i], total[i]);
  }
  for (uint64_t& ns : busy) {
    uint64_t part = std::min(ns, too_much);
    ns -= part;
    too_much -= part;
  }
  for (size_t i = 0; i < LS_CAUSES; i++) counted[i] += busy[i];
  return busy;
}

}  // namespace loopsight
