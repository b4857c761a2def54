// Loops that are only busy: most of the time, without stalls that explain it. What fills them is
// told by samples (LS_STACK_OF_BUSY).
//
//   (quiet) -- a window of kCongestionWindowNs that is busy, by short phases --> congested
//      ^                                                                            |
//      +-------------------- a window that is not, or the loop ends ----------------+
//
// A congestion is told after its first window, again at each doubling of its length, and once more
// when it ends.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/attribute/code_judge.h"
#include "daemon/attribute/workloads.h"
#include "daemon/correlate/stall.h"
#include "daemon/python/frame.h"

namespace loopsight {

constexpr uint64_t kCongestionWindowNs = 10'000'000'000;
constexpr double kCongestedShare = 0.8;  // of the time that the loop ran

// A part of a loop's busy time and whose it is: by samples.
struct BusyPart {
  Frame frame;
  uint32_t cause = LS_CAUSE_CPU;
  double share = 0;      // of the samples
  double lock_held = 0;  // of its own samples, those with the interpreter lock
};

struct CongestionReport {
  WorkloadProcess process;
  uint32_t tgid = 0;
  uint32_t tid = 0;
  LoopKind kind = LoopKind::kUnknown;
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;
  bool in_progress = false;
  uint64_t busy_ns = 0;
  uint64_t idle_ns = 0;
  CauseTimes causes{};  // of the busy time
  uint64_t iterations = 0;
  uint64_t longest_ns = 0;  // no busy phase was longer; 0 not known
  uint32_t callbacks = 0;   // of the iteration that was looked at last, 0 not known
  uint64_t timers = 0;      // that fired, and how late they were together
  uint64_t timers_late_ns = 0;
  uint64_t samples = 0;
  std::vector<BusyPart> parts;  // the largest first
  std::string advice;

  double busy_share() const {
    double all = static_cast<double>(busy_ns) + static_cast<double>(idle_ns);
    return all > 0 ? static_cast<double>(busy_ns) / all : 0;
  }
};

class CongestionWatch {
 public:
  // `frames`: of the sample, judged.
  void on_sample(const BusySample& sample, const std::vector<Frame>& frames,
                 const JudgedCode& judged);
  std::optional<CongestionReport> on_progress(const LoopProgress& progress,
                                              const WorkloadProcess& process, uint64_t now_ns);

 private:
  struct Part {
    Frame frame;
    uint64_t samples = 0;
    uint64_t held = 0;
  };
  struct Sums {
    uint64_t start_ns = 0;
    uint64_t idle_ns = 0;
    uint64_t over_ns = 0;
    uint64_t iterations = 0;
    uint64_t timers = 0;
    uint64_t late_ns = 0;
    CauseTimes busy{};
    std::array<uint64_t, LS_MAX_BUCKETS> buckets{};
    // By cause, file, function and line.
    std::map<std::tuple<uint32_t, std::string, std::string, uint32_t>, Part> parts;
    uint64_t samples = 0;

    void add(const LoopProgress& progress);
    void add(const Sums& other);
    uint64_t busy_ns() const;
  };
  struct Loop {
    Sums window;
    std::optional<Sums> congested;  // all of its windows
    uint64_t next_report_ns = 0;    // the length at which it is told again
  };
  static bool is_congested(const Sums& window);
  static CongestionReport report(const Sums& sums, const LoopProgress& progress,
                                 const WorkloadProcess& process, uint64_t now_ns);

  std::map<LoopId, Loop> loops_;
};

}  // namespace loopsight
