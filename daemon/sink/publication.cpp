#include "daemon/sink/publication.h"

#include "daemon/sink/json_sink.h"

namespace loopsight {

void Publication::publish(Snapshot snapshot) {
  auto shared = std::make_shared<const Snapshot>(std::move(snapshot));
  std::lock_guard lock(mutex_);
  snapshot_ = std::move(shared);
}

std::shared_ptr<const Snapshot> Publication::snapshot() const {
  std::lock_guard lock(mutex_);
  return snapshot_;
}

Result<void> Publication::on_stall(const StallReport& report) {
  auto json = stall_json(report, clock_, host_);
  std::lock_guard lock(mutex_);
  // A stall that was shown in progress is replaced by its newer report.
  for (auto entry = stalls_.begin(); entry != stalls_.end(); ++entry) {
    if (!(*entry)["in_progress"].get<bool>() || (*entry)["tid"] != json["tid"] ||
        (*entry)["monotonic_ns"] != json["monotonic_ns"])
      continue;
    stalls_.erase(entry);
    break;
  }
  stalls_.push_front(std::move(json));
  if (stalls_.size() > ring_size_) stalls_.pop_back();
  return {};
}

std::vector<nlohmann::ordered_json> Publication::stalls(size_t limit, const std::string& workload,
                                                        const std::string& cause) const {
  std::vector<nlohmann::ordered_json> found;
  std::lock_guard lock(mutex_);
  for (const auto& stall : stalls_) {
    if (found.size() >= limit) break;
    if (!workload.empty() && stall["workload"] != workload) continue;
    if (!cause.empty() && stall["cause"] != cause) continue;
    found.push_back(stall);
  }
  return found;
}

}  // namespace loopsight
