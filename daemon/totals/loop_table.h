// Each loop that is alive by itself: what /api/v1/loops shows. /metrics shows their sums by worker
// (see totals.h), without a pid.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/attribute/report.h"
#include "daemon/attribute/workloads.h"
#include "daemon/correlate/stall.h"
#include "daemon/totals/loop_condition.h"

namespace loopsight {

struct LoopLine {
  WorkloadProcess process;
  uint32_t pid = 0;
  uint32_t tid = 0;
  LoopKind kind = LoopKind::kUnknown;
  uint64_t iterations = 0;
  uint64_t stalls = 0;
  uint64_t idle_ns = 0;
  CauseTimes busy{};
  uint64_t stalled_ns = 0;  // the age of the running busy phase while over the threshold
  uint64_t threshold_ns = 0;
  std::optional<double> utilisation;  // busy share of about the last ten seconds; 0 to 1
  LoopCondition condition = LoopCondition::kIdle;  // of the same time
};

// Bounded by the rows of the kernel's loop table: each has one owner at a time.
class LoopTable {
 public:
  void on_progress(const LoopProgress& progress, const WorkloadProcess& process, uint64_t now_ns);
  void on_stall(const StallReport& report);
  std::vector<LoopLine> lines() const;  // ordered by workload, worker, tid

 private:
  struct Look {
    uint64_t time_ns = 0;
    uint64_t busy_ns = 0;
    uint64_t idle_ns = 0;
    uint64_t over_ns = 0;
  };
  struct Entry {
    LoopLine line;
    uint64_t over_ns = 0;
    uint32_t ready = 0;
    std::deque<Look> looks;  // the newest last
  };
  std::map<LoopId, Entry> loops_;
};

}  // namespace loopsight
