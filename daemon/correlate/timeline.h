// Events in, stalls out: one state machine for each row of the loop table.
//
//              poller, state                verdict: loop
//   (unknown) ---------------> undecided ------------------> watched ---- end ----> (unknown)
//                                  |  verdict: something else                           ^
//                                  +--------------------------> ignored ------- end ----+
//
// Stalls and sums of an undecided row are kept until the verdict. A busy phase that outlasts ten
// times the threshold is found in progress, again at each doubling, and once more when it ends;
// when the record of its end was lost, the part that nobody saw is `unknown`.
//
// A stall that has ended is held until the poll call after it has told who waited, mostly for
// microseconds, and for a second at most.
//
// What makes it right: the kernel's records of one thread arrive in order, and a row's generation
// changes with its owner, so a late record of an earlier owner is recognised.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "daemon/correlate/stall.h"

namespace loopsight {

class Timeline {
 public:
  // `threshold_ns` is held to 1 ns at least and a day at most.
  explicit Timeline(uint64_t threshold_ns)
      : threshold_ns_(std::clamp<uint64_t>(threshold_ns, 1, kMaxThresholdNs)) {}
  static constexpr uint64_t kMaxThresholdNs = 86'400'000'000'000;

  Findings on_poller(const PollerSeen& event);
  Findings on_verdict(const LoopVerdict& event);
  Findings on_stall(const StallEnded& event);
  Findings on_waiters(const WaitersSeen& event);
  Findings on_stack(const StackSeen& event);
  Findings on_functions(const FunctionsSeen& event);
  Findings on_waker(const WakerSeen& event);
  Findings on_state(const LoopState& event);
  Findings on_end(const LoopEnded& event);
  Findings on_lost(const Lost& event);

  uint64_t threshold_ns() const { return threshold_ns_; }
  uint64_t lost_records() const { return lost_records_; }
  uint64_t late_records() const { return late_records_; }  // of an owner that is gone
  uint64_t inconsistent_records() const { return inconsistent_records_; }

 private:
  enum class Stage { kUndecided, kWatched, kIgnored };
  struct Loop {
    LoopId id;
    Stage stage = Stage::kUndecided;
    LoopKind kind = LoopKind::kUnknown;
    uint32_t tgid = 0;
    uint32_t tid = 0;
    ls_loop last{};  // the newest state
    uint64_t last_time_ns = 0;
    ls_loop counted{};  // the state up to which progress was reported
    uint64_t counted_idle_ns = 0;
    CauseTimes counted_busy_ns{};
    uint64_t last_end_ns = 0;       // of the newest stall
    uint64_t open_start_ns = 0;     // of a stall reported in progress, else 0
    uint64_t next_report_ns = 0;    // the age at which it is reported again
    uint64_t samples_start_ns = 0;  // the busy phase that `samples` are of
    std::vector<StackSample> samples;
    std::vector<std::shared_ptr<const ls_waker>> wakers;  // of the newest busy phase
    std::unique_ptr<ls_functions> functions;              // of the busy phase that it names
    std::optional<Stall> waiting;  // has ended; who waited for it is told next
    std::vector<Stall> held;       // while undecided
  };

  Loop& loop_of(LoopId id, uint32_t tgid, uint32_t tid);
  Loop* find(LoopId id);
  void found(Loop& loop, const Stall& one, Findings& findings);
  size_t most_held();
  size_t most_samples();
  void release(Loop& loop, Findings& findings);
  LoopProgress progress_of(Loop& loop, uint64_t now_ns, bool ended);
  CauseTimes busy_of(Loop& loop, uint64_t now_ns, bool ended) const;
  uint64_t threshold_of(const Loop& loop) const {
    return loop.last.threshold_ns > 0 ? loop.last.threshold_ns : threshold_ns_;
  }
  void take_samples(Loop& loop, Stall& stall);
  static void take_functions(Loop& loop, Stall& stall);
  static void take_waker(Loop& loop, Stall& stall);
  Stall open_phase(const Loop& loop, uint64_t now_ns) const;
  // The loop is in a busy phase and still has its epoll instance.
  static bool is_stalling(const ls_loop& state) {
    return state.phase == LS_PHASE_BUSY && !(state.flags & (LS_LOOP_STALE | LS_LOOP_RELEASED));
  }
  static constexpr uint64_t kInProgressFactor = 10;

  uint64_t threshold_ns_;           // of a loop that has none of its own
  std::map<uint32_t, Loop> loops_;  // by row
  size_t held_stalls_ = 0;          // at most so many
  uint64_t stacks_ = 0;
  bool crowded_ = false;  // with samples
  uint64_t lost_records_ = 0;
  uint64_t late_records_ = 0;
  uint64_t inconsistent_records_ = 0;
};

}  // namespace loopsight
