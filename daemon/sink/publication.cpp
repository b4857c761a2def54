#include "daemon/sink/publication.h"

#include <functional>
#include <optional>

#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

constexpr size_t kMaxExecutors = 100;

// What everybody may know of a stall; nothing where that is all.
std::optional<StallReport> public_part(const StallReport& report) {
  auto is_private = [](const Frame& frame) {
    return !frame.expression.empty() && !frame.is_public;
  };
  bool leaf = !report.frames.empty() && is_private(report.frames.front());
  bool culprit = report.culprit && is_private(*report.culprit);
  if (!leaf && !culprit) return std::nullopt;
  StallReport part = report;
  if (leaf) part.frames.front().expression.clear();
  if (culprit) part.culprit->expression.clear();
  return part;
}

}  // namespace

void Publication::publish(Snapshot snapshot) {
  auto shared = std::make_shared<const Snapshot>(std::move(snapshot));
  std::lock_guard lock(mutex_);
  snapshot_ = std::move(shared);
}

void Publication::set_ring_size(size_t ring_size) {
  std::lock_guard lock(mutex_);
  drop(by_count_.set_most(ring_size));
}

void Publication::drop(const std::vector<uint64_t>& numbers) {
  for (uint64_t number : numbers) {
    by_count_.remove(number);
    by_bytes_.remove(number);
    stalls_.erase(number);
  }
}

std::shared_ptr<const Snapshot> Publication::snapshot() const {
  std::lock_guard lock(mutex_);
  return snapshot_;
}

Result<void> Publication::on_stall(const StallReport& report) {
  const Stall& stall = report.stall;
  Kept kept{.workload = report.process.workload,
            .cause = report.cause,
            .tid = stall.tid,
            .start_ns = stall.start_ns,
            .in_progress = stall.in_progress,
            .json = std::make_shared<const std::string>(to_line(stall_json(report, clock_, host_))),
            .public_json = nullptr};
  auto part = public_part(report);
  kept.public_json =
      part ? std::make_shared<const std::string>(to_line(stall_json(*part, clock_, host_)))
           : kept.json;
  std::lock_guard lock(mutex_);
  // A stall that was shown in progress is replaced by its newer report.
  for (auto entry = stalls_.begin(); entry != stalls_.end(); ++entry) {
    const Kept& known = entry->second;
    if (!known.in_progress || known.tid != kept.tid || known.start_ns != kept.start_ns) continue;
    drop({entry->first});
    break;
  }
  reports_++;
  uint64_t number = ++last_number_;
  uint64_t lane = std::hash<std::string>{}(kept.workload);
  size_t bytes = kept.bytes();
  stalls_.emplace(number, std::move(kept));
  drop(by_count_.add(number, report.owner, 1, lane));
  if (stalls_.contains(number)) drop(by_bytes_.add(number, report.owner, bytes, lane));
  return {};
}

Result<void> Publication::on_executor(const ExecutorReport& report) {
  auto json = executor_json(report, clock_, host_);
  std::lock_guard lock(mutex_);
  std::erase_if(executors_, [&](const nlohmann::ordered_json& one) {
    return one["pid"] == json["pid"] && one["pool"] == json["pool"] &&
           one["monotonic_ns"] == json["monotonic_ns"];
  });
  executors_.push_front(std::move(json));
  if (executors_.size() > kMaxExecutors) executors_.pop_back();
  return {};
}

std::vector<nlohmann::ordered_json> Publication::executors() const {
  std::lock_guard lock(mutex_);
  return {executors_.begin(), executors_.end()};
}

Result<void> Publication::on_congestion(const CongestionReport& report) {
  auto json = congestion_json(report, clock_, host_);
  std::lock_guard lock(mutex_);
  std::erase_if(congestions_, [&](const nlohmann::ordered_json& one) {
    return one["tid"] == json["tid"] && one["monotonic_ns"] == json["monotonic_ns"];
  });
  congestions_.push_front(std::move(json));
  if (congestions_.size() > kMaxExecutors) congestions_.pop_back();
  return {};
}

std::vector<nlohmann::ordered_json> Publication::congestions() const {
  std::lock_guard lock(mutex_);
  return {congestions_.begin(), congestions_.end()};
}

size_t Publication::kept_stalls() const {
  std::lock_guard lock(mutex_);
  return stalls_.size();
}

uint64_t Publication::reports() const {
  std::lock_guard lock(mutex_);
  return reports_;
}

std::vector<std::shared_ptr<const std::string>> Publication::stalls(size_t limit,
                                                                    const std::string& workload,
                                                                    const std::string& cause,
                                                                    Audience audience) const {
  std::vector<std::shared_ptr<const std::string>> found;
  std::lock_guard lock(mutex_);
  for (const auto& [number, kept] : stalls_) {
    if (found.size() >= limit) break;
    if (!workload.empty() && kept.workload != workload) continue;
    if (!cause.empty() && kCauseNames[kept.cause] != cause) continue;
    found.push_back(audience == Audience::kOperator ? kept.json : kept.public_json);
  }
  return found;
}

}  // namespace loopsight
