#include "daemon/live/audit_budget.h"

#include <algorithm>

namespace loopsight {

std::vector<AuditBudget::Excess> AuditBudget::on_hits(
    const std::map<uint32_t, uint64_t>& hits, uint64_t hit_ns,
    const std::function<std::optional<uint64_t>(uint32_t)>& cpu_time_ns, uint64_t now_ns) {
  std::vector<Excess> found;
  if (window_start_ns_ != 0 && now_ns < window_start_ns_ + kWindowNs) return found;
  std::map<uint32_t, Seen> seen;
  double elapsed_ns = static_cast<double>(now_ns - window_start_ns_);
  for (const auto& [tgid, count] : hits) {
    auto before = seen_.find(tgid);
    // Most processes have not raised any since, and are not looked at.
    if (before != seen_.end() && before->second.hits == count) {
      seen[tgid] = before->second;
      continue;
    }
    auto cpu_ns = cpu_time_ns(tgid);
    if (!cpu_ns) continue;
    seen[tgid] = {.hits = count, .cpu_ns = *cpu_ns};
    if (before == seen_.end() || window_start_ns_ == 0) continue;
    double events = static_cast<double>(count - std::min(before->second.hits, count));
    double cost_ns = events * static_cast<double>(hit_ns);
    double cpu = static_cast<double>(*cpu_ns - std::min(before->second.cpu_ns, *cpu_ns));
    if (cost_ns <= elapsed_ns * kFloor || cost_ns <= cpu * share_) continue;
    found.push_back({.tgid = tgid,
                     .events_per_second = events * 1e9 / elapsed_ns,
                     .share = cpu > 0 ? std::min(cost_ns / cpu, 1.0) : 1.0});
  }
  seen_ = std::move(seen);
  window_start_ns_ = now_ns;
  return found;
}

}  // namespace loopsight
