// What the HTTP threads see: a snapshot that the pipeline's thread replaces once a second, and the
// newest stalls. The only data that two threads share.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "daemon/attribute/totals.h"
#include "daemon/sink/sink.h"

namespace loopsight {

struct ProgramCostMetric {
  std::string program;
  uint64_t runs = 0;
  uint64_t run_time_ns = 0;
};

struct OptionalProbeMetric {
  std::string name;
  uint64_t hits = 0;
  uint64_t cost_ns = 0;
  std::vector<std::pair<std::string, uint64_t>> shed;  // by reason
};

struct Snapshot {
  Totals totals;
  std::vector<std::pair<std::string, bool>> probes;
  std::vector<ProgramCostMetric> programs;
  std::vector<OptionalProbeMetric> optional_probes;
  std::vector<std::pair<std::string, uint64_t>> lost;       // by reason
  std::vector<std::pair<std::string, uint64_t>> discarded;  // by reason
  bool ready = false;
};

class Publication : public Sink {
 public:
  Publication(WallClock clock, std::string host, size_t ring_size)
      : clock_(clock), host_(std::move(host)), ring_size_(ring_size) {}

  void publish(Snapshot snapshot);
  std::shared_ptr<const Snapshot> snapshot() const;  // never null

  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_summary(const Summary&) override { return {}; }

  // The newest stalls first, at most `limit`; empty filters match all.
  std::vector<nlohmann::ordered_json> stalls(size_t limit, const std::string& workload,
                                             const std::string& cause) const;

 private:
  WallClock clock_;
  std::string host_;
  size_t ring_size_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
  std::deque<nlohmann::ordered_json> stalls_;  // newest first
};

}  // namespace loopsight
