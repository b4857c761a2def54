#include "daemon/live/probe_governor.h"

#include <algorithm>

namespace loopsight {

std::vector<ProbeGovernor::Decision> ProbeGovernor::on_costs(
    const std::array<uint64_t, LS_GROUPS>& cost_ns, uint64_t now_ns) {
  std::vector<Decision> decisions;
  if (window_start_ns_ != 0 && now_ns < window_start_ns_ + kWindowNs) return decisions;
  double total = 0;
  double largest = 0;
  size_t dearest = 0;
  for (size_t i = 0; i < groups_.size(); i++) {
    Group& group = groups_[i];
    uint64_t spent = cost_ns[i] - std::min(group.cost_ns, cost_ns[i]);
    group.cost_ns = cost_ns[i];
    if (window_start_ns_ == 0 || group.until_ns != 0) continue;
    double share = static_cast<double>(spent) / static_cast<double>(now_ns - window_start_ns_);
    total += share;
    if (share > largest) {
      largest = share;
      dearest = i;
    }
    // One that behaved for as long as its pause could be is trusted again.
    if (group.pause_ns != 0 && now_ns > group.restored_ns + kLongestPauseNs) group.pause_ns = 0;
  }
  window_start_ns_ = now_ns;
  for (size_t i = 0; i < groups_.size(); i++) {
    Group& group = groups_[i];
    if (group.until_ns == 0 || now_ns < group.until_ns) continue;
    group.until_ns = 0;
    group.restored_ns = now_ns;
    decisions.push_back({.group = static_cast<ls_probe_group>(i), .attach = true});
  }
  if (total > limit_) {
    Group& group = groups_[dearest];
    group.pause_ns =
        group.pause_ns == 0 ? kFirstPauseNs : std::min(2 * group.pause_ns, kLongestPauseNs);
    group.until_ns = now_ns + group.pause_ns;
    decisions.push_back({.group = static_cast<ls_probe_group>(dearest),
                         .attach = false,
                         .share = largest,
                         .until_ns = group.until_ns});
  }
  return decisions;
}

}  // namespace loopsight
