// What a whole run amounted to.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/attribute/report.h"
#include "daemon/correlate/stall.h"
#include "daemon/python/frame.h"
#include "daemon/totals/loop_condition.h"

namespace loopsight {

// A CPython process in which no loop was seen: what polled there, and why that is none.
struct NoLoop {
  struct Poller {
    uint32_t tid = 0;
    std::string syscall;
    std::string reason;
    std::vector<Frame> frames;  // innermost first, a few
    uint64_t times = 1;         // that it was judged
  };
  uint32_t pid = 0;
  std::string program;  // cleaned, like all text here
  std::string python;
  std::vector<Poller> pollers;
  uint64_t more = 0;  // judgements that found no place
};

struct Summary {
  struct LoopLine {
    std::string workload;
    WorkloadSource workload_source = WorkloadSource::kArgv;
    uint32_t worker = 0;
    std::string kind;
    uint32_t pid = 0;
    uint32_t tid = 0;
    uint64_t iterations = 0;
    uint64_t stalls = 0;
    uint64_t idle_ns = 0;
    uint64_t busy_ns = 0;
    uint64_t polls = 0;
    uint64_t zero_polls = 0;  // of these, not to wait
    LoopLoad load;
  };
  uint64_t iterations = 0;
  uint64_t stalls = 0;
  uint64_t lost = 0;
  uint64_t idle_ns = 0;
  uint64_t watched_ns = 0;
  CauseTimes busy{};
  std::vector<LoopLine> loops;  // at most 1000; the totals above are of all
  std::vector<NoLoop> no_loops;
};

class Summarizer {
 public:
  void on_progress(const LoopProgress& progress, const WorkloadProcess& process);
  void on_stall(const StallReport& report);
  Summary summary(uint64_t watched_ns, uint64_t lost) const;
  bool has_loops() const { return !lines_.empty(); }

 private:
  Summary totals_;
  std::map<LoopId, Summary::LoopLine> lines_;
};

}  // namespace loopsight
