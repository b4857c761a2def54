// What the timeline finds: stalls, and what each loop did since it was last looked at.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bpf/wire.h"
#include "daemon/event/event.h"

namespace loopsight {

using CauseTimes = std::array<uint64_t, LS_CAUSES>;  // nanoseconds by enum ls_cause

// A row and the generation of its owner: one loop, as long as it lives.
struct LoopId {
  uint32_t row = 0;
  uint32_t generation = 0;
  auto operator<=>(const LoopId&) const = default;
};

// What the thread's Python frames were when it was looked at.
struct StackSample {
  uint64_t time_ns = 0;
  uint32_t source = LS_STACK_OF_WAIT;  // enum ls_stack_source
  uint32_t holder_tid = 0;             // LS_STACK_OF_HOLDER
  uint64_t slice_start_ns = 0;         // LS_STACK_OF_WAIT: when the wait began
  // LS_STACK_OF_WAIT: how long it took, 0 while it goes on; LS_STACK_OF_SAMPLE: the CPU time that
  // the sample stands for.
  uint64_t slice_ns = 0;
  uint32_t cause = LS_CAUSE_CPU;  // as the kernel side counted it
  int syscall = -1;               // LS_STACK_OF_SAMPLE: the call that it was in
  ls_stack stack{};
};

// What a stall kept waiting.
struct Delayed {
  uint32_t events_at_least = 0;  // descriptors of the loop that became ready meanwhile
  uint32_t events = 0;           // at most; where `exact` both are the same
  uint64_t ns = 0;               // the sum of their waits, and the longest; at most
  uint64_t longest_ns = 0;
  bool exact = false;
  std::optional<uint64_t> timer_late_ns;  // of the first timer that was due meanwhile
};

struct Stall {
  LoopId loop;
  uint32_t tgid = 0;
  uint32_t tid = 0;
  LoopKind kind = LoopKind::kUnknown;
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;     // in progress: when it was looked at
  uint64_t iteration = 0;  // its number in the loop, from 1; 0 not known
  bool in_progress = false;
  bool at_least = false;      // it had begun before it could be seen: start_ns is when it was found
  bool nested = false;        // another loop polled on the thread meanwhile
  uint32_t gil_waits = 0;     // how often the interpreter lock was waited for
  uint32_t killed_by = 0;     // the signal that ended the process during the stall, else 0
  CauseTimes causes{};        // adds up to end_ns - start_ns
  uint32_t minor_faults = 0;  // of the thread meanwhile
  uint32_t mapped_pages = 0;  // of the process's address space when it ended, 0 not known
  std::optional<ls_wait> wait;     // the longest
  ls_kernel_stack kernel{};        // of that wait; its addresses are numbers of KernelFunction
  std::optional<Delayed> delayed;  // nothing while it runs, or where that was lost
  ls_probed probed{};              // what CPython's own probes told
  uint64_t calls = 0;              // of functions, where they are counted
  std::vector<ls_function> functions;
  std::shared_ptr<const ls_waker> waker;  // who ended the longest wait; null: not known
  std::vector<StackSample> samples;  // in the order of time; empty where frames are not readable

  uint64_t duration_ns() const { return end_ns - start_ns; }
};

// Upper bounds of the busy phases' histogram in microseconds, as ls_bucket has them; the last
// bucket has none.
constexpr std::array<uint64_t, LS_MAX_BUCKETS - 1> kIterationBoundsUs = {
    500,     1'000,   2'500,   5'000,     10'000,    25'000,    50'000,
    100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

// What a loop did between two looks at it.
struct LoopProgress {
  LoopId loop;
  uint32_t tgid = 0;
  uint32_t tid = 0;
  LoopKind kind = LoopKind::kUnknown;
  uint64_t iterations = 0;
  uint64_t polls = 0;
  uint64_t zero_polls = 0;
  uint64_t idle_ns = 0;
  CauseTimes busy{};
  std::array<uint64_t, LS_MAX_BUCKETS> buckets{};
  std::array<uint64_t, LS_GC_GENERATIONS> gc_ns{};
  std::array<std::array<uint64_t, LS_MAX_BUCKETS>, LS_GC_GENERATIONS> gc_buckets{};
  std::array<uint64_t, LS_MAX_BUCKETS> late_buckets{};  // timers by their lateness
  uint64_t late_ns = 0;
  uint64_t gil_waits = 0;     // for the interpreter lock
  uint64_t over_ns = 0;       // length of the busy phases over the threshold
  uint32_t ready = 0;         // callbacks of the iteration that was looked at last, 0 not known
  uint64_t watched_ns = 0;    // between the two looks
  uint64_t lost_stalls = 0;   // counted by the kernel, but their records did not arrive
  uint64_t threshold_ns = 0;  // of the loop
  uint64_t stalled_ns = 0;    // the age of the running busy phase where it is over the threshold
  bool ended = false;
};

// Time that a loop waited for the interpreter lock, and what the thread that had it was doing.
struct LockWait {
  uint32_t tgid = 0;
  uint64_t ns = 0;
  ls_stack holder{};
};

// What a crowded loop did at one of many instants.
struct BusySample {
  LoopId loop;
  uint32_t tgid = 0;
  uint32_t cause = LS_CAUSE_CPU;
  ls_stack stack{};
};

struct Findings {
  std::vector<Stall> stalls;
  std::vector<LockWait> lock_waits;
  std::vector<BusySample> busy_samples;
  std::vector<LoopProgress> progress;
};

}  // namespace loopsight
