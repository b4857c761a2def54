// What the HTTP threads see: a snapshot that the pipeline's thread replaces once a second, and the
// newest stalls. The only data that two threads share.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/fair_shares.h"
#include "daemon/sink/sink.h"
#include "daemon/totals/loop_table.h"
#include "daemon/totals/totals.h"

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
  std::vector<LoopLine> loops;
  uint64_t threshold_ns = 0;
  std::vector<std::pair<std::string, bool>> probes;
  std::vector<ProgramCostMetric> programs;
  std::vector<OptionalProbeMetric> optional_probes;
  std::vector<std::pair<std::string, uint64_t>> lost;       // by reason
  std::vector<std::pair<std::string, uint64_t>> discarded;  // by reason
  std::vector<std::pair<std::string, uint64_t>> refused;    // requests over HTTP, by reason
  bool ready = false;
  bool config_is_current = true;   // the newest try to read the configuration succeeded
  double config_read_seconds = 0;  // when it last did, since the Unix epoch
};

// How much of the newest stalls is kept; then of whoever has most the oldest of his largest
// workload goes.
struct RingLimits {
  size_t stalls = 1000;
  size_t bytes = 16UL << 20;
};

// Who reads a stall. Everybody sees expressions of files alone that every user of the host may
// read; of others there is none, since what was cut out of a line may begin inside a string, so
// that no blanking of strings could be trusted.
enum class Audience { kOperator, kEverybody };

class Publication : public Sink {
 public:
  Publication(WallClock clock, std::string host, RingLimits limits = {})
      : clock_(clock), host_(std::move(host)), by_count_(limits.stalls), by_bytes_(limits.bytes) {}

  void publish(Snapshot snapshot);
  void set_ring_size(size_t ring_size);
  std::shared_ptr<const Snapshot> snapshot() const;  // never null

  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_executor(const ExecutorReport& report) override;
  Result<void> on_congestion(const CongestionReport& report) override;
  Result<void> on_summary(const Summary&) override { return {}; }

  // The newest stalls first, at most `limit`, each the JSON object of one; empty filters match all.
  std::vector<std::shared_ptr<const std::string>> stalls(size_t limit, const std::string& workload,
                                                         const std::string& cause,
                                                         Audience audience) const;
  size_t kept_stalls() const;
  uint64_t reports() const;  // of stalls, so far: unchanged means that stalls() is, too
  const std::string& host() const { return host_; }
  // The newest saturated thread pools first, each with its newest report.
  std::vector<nlohmann::ordered_json> executors() const;
  // The newest loops that are or were only busy first, the same way.
  std::vector<nlohmann::ordered_json> congestions() const;

 private:
  void drop(const std::vector<uint64_t>& numbers);
  struct Kept {
    std::string workload;
    uint32_t cause = LS_CAUSE_UNKNOWN;
    uint32_t tid = 0;
    uint64_t start_ns = 0;
    bool in_progress = false;
    std::shared_ptr<const std::string> json;
    std::shared_ptr<const std::string> public_json;  // the same text where there is no secret
    size_t bytes() const { return json->size() + (public_json == json ? 0 : public_json->size()); }
  };

  WallClock clock_;
  std::string host_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
  std::map<uint64_t, Kept, std::greater<>> stalls_;  // by their number, the newest first
  FairShares<uint64_t> by_count_;                    // lanes are workloads
  FairShares<uint64_t> by_bytes_;
  uint64_t last_number_ = 0;
  std::deque<nlohmann::ordered_json> executors_;
  std::deque<nlohmann::ordered_json> congestions_;
  uint64_t reports_ = 0;
};

}  // namespace loopsight
