#include "daemon/profile/profile_window.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/profile/pprof.h"

namespace loopsight {

Result<void> ProfileWindow::on_stall(const StallReport& report) {
  if (report.stall.in_progress) return {};  // its end is reported too
  auto stall = std::make_shared<const ProfiledStall>(profiled(report));
  std::lock_guard lock(mutex_);
  bytes_ += stall->bytes();
  stalls_.push_back(std::move(stall));
  uint64_t now_ns = report.stall.end_ns;
  while (!stalls_.empty()) {
    const ProfiledStall& oldest = *stalls_.front();
    bool is_old = oldest.end_ns + limits_.keep_ns < now_ns;
    if (!is_old && bytes_ <= limits_.bytes) break;
    if (!is_old) dropped_end_ns_ = std::max(dropped_end_ns_, oldest.end_ns);
    bytes_ -= oldest.bytes();
    stalls_.pop_front();
  }
  return {};
}

Result<std::string> ProfileWindow::pprof(uint64_t from_ns, uint64_t to_ns) const {
  from_ns = std::max(from_ns, to_ns - std::min(to_ns, limits_.keep_ns));
  std::vector<std::shared_ptr<const ProfiledStall>> chosen;
  bool is_cut = false;
  {
    std::lock_guard lock(mutex_);
    is_cut = dropped_end_ns_ > from_ns;
    if (is_cut) from_ns = dropped_end_ns_;
    for (const auto& stall : stalls_)
      if (stall->end_ns > from_ns && stall->end_ns <= to_ns) chosen.push_back(stall);
  }
  StallProfile profile;
  for (const auto& stall : chosen) profile.add(*stall);
  ProfilePeriod period{.start_realtime_ns = clock_.realtime_ns(from_ns),
                       .duration_ns = to_ns - std::min(to_ns, from_ns)};
  if (is_cut || profile.left_out() > 0)
    period.comment = "too many stalls to keep: the profile is of a part of the time asked for";
  return loopsight::pprof(profile, period);
}

}  // namespace loopsight
