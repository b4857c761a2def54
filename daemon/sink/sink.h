// Where reports go.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/attribute/congestion.h"
#include "daemon/attribute/executor_report.h"
#include "daemon/attribute/report.h"
#include "daemon/base/result.h"
#include "daemon/totals/summary.h"

namespace loopsight {

// What is to be seen, as it is told at the start.
struct TraceStart {
  std::string what;  // "pid 4242"; clean
  uint64_t threshold_ns = 0;
  std::string end;  // "Ctrl-C ends it"
};

class Sink {
 public:
  virtual ~Sink() = default;
  virtual Result<void> on_start(const TraceStart&) { return {}; }
  // Errors: the place it writes to takes no more; the caller decides whether to go on.
  virtual Result<void> on_stall(const StallReport& report) = 0;
  virtual Result<void> on_executor(const ExecutorReport&) { return {}; }
  virtual Result<void> on_congestion(const CongestionReport&) { return {}; }
  virtual Result<void> on_summary(const Summary& summary) = 0;
};

// This host's name, clean.
std::string host_name();

// Turns monotonic times into wall times, the only place that does: with the offset of now for a
// live trace (the clock may be set meanwhile), with a recording's own for a replay.
class WallClock {
 public:
  static WallClock live() { return WallClock(true, 0); }
  static WallClock fixed(int64_t offset_ns) { return WallClock(false, offset_ns); }
  // CLOCK_MONOTONIC nanoseconds -> CLOCK_REALTIME nanoseconds.
  uint64_t realtime_ns(uint64_t monotonic_ns) const;
  static int64_t current_offset_ns();

 private:
  WallClock(bool is_live, int64_t offset_ns) : is_live_(is_live), offset_ns_(offset_ns) {}
  bool is_live_;
  int64_t offset_ns_;
};

}  // namespace loopsight
