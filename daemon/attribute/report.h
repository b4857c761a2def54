// A stall with its names: what the sinks write. All strings are clean (see clean_text).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/attribute/audit_events.h"
#include "daemon/attribute/workloads.h"
#include "daemon/base/owner.h"
#include "daemon/correlate/stall.h"
#include "daemon/python/frame.h"
#include "daemon/python/own_code.h"

namespace loopsight {

// A part of a busy phase and who caused it: a line of a function.
struct Contributor {
  Frame frame;
  uint64_t ns = 0;
  uint32_t cause = LS_CAUSE_CPU;
};

// The thread that had the interpreter lock while the loop waited for it.
struct GilHolder {
  uint32_t tid = 0;  // in its own PID namespace; 0 not known
  std::vector<Frame> frames;
  size_t culprit = 0;  // index of the frame of its own code
};

// How often a busy phase waited for the interpreter lock.
struct GilWaits {
  uint32_t count = 0;
  // The loop gives the lock up in each system call and pays the switch interval to get it back.
  bool convoy = false;
};

struct WaitReport {
  std::string syscall;                // "clock_nanosleep"; "" outside a system call
  std::optional<std::string> target;  // "10.0.0.5:5432", "/var/lib/x.db", "pid 77"
  uint32_t cause = LS_CAUSE_UNKNOWN;
  uint64_t duration_ns = 0;
  std::optional<Frame> culprit;     // whose code waited
  std::optional<Frame> leaf;        // the innermost frame at that
  bool timed_out = false;           // its time was up, nobody ended it
  std::vector<std::string> kernel;  // the kernel's functions that it slept in, innermost first
  bool at_memory_limit = false;     // of its cgroup
};

// What the kernel did on the thread's behalf.
struct SystemReport {
  static constexpr const char* kPageFault = "page fault (minor)";
  std::string call;  // "clone", or kPageFault; "" not known
  uint64_t ns = 0;
  uint32_t minor_faults = 0;
  uint64_t address_space = 0;  // bytes, 0 not known

  bool is_fork() const {
    return call == "clone" || call == "clone3" || call == "fork" || call == "vfork";
  }
};

// What asyncio ran in the iteration.
struct ReadyCallbacks {
  uint32_t count = 0;
  double largest_share = 0;    // of the busy phase, that the longest is known to have taken
  double largest_at_most = 1;  // what it cannot have exceeded
  bool all_small = false;      // none took much, as far as can be seen
};

// Time that the frames showed to have another cause than the kernel side counted.
struct MovedTime {
  uint32_t from = LS_CAUSE_CPU;
  uint32_t to = LS_CAUSE_CPU;
  uint64_t ns = 0;
};

// Collections in the busy phase.
struct GcReport {
  std::optional<uint32_t> generation;  // of the longest; nothing where the time is inferred
  uint64_t ns = 0;
  uint32_t count = 0;  // 0: inferred, not known
};

struct ImportReport {
  std::string name;  // of the outermost import that took longest
  uint64_t ns = 0;
};

struct FunctionCalls {
  std::string function;
  std::string file;
  uint32_t line = 0;
  uint64_t calls = 0;
};

// A part of a busy phase and the whole stack that it was spent in.
struct StackTime {
  std::vector<Frame> frames;  // innermost first
  uint64_t ns = 0;
  uint32_t cause = LS_CAUSE_CPU;
};

// The thread that the loop waited for, and what it was doing meanwhile.
struct WaitedFor {
  uint32_t tid = 0;
  std::string comm;
  std::optional<WaitReport> wait;  // its longest; nothing: it did not wait, it worked
  std::vector<Frame> frames;       // at the beginning of that wait
  std::optional<size_t> culprit;   // of the frames
  uint64_t ran_ns = 0;             // of the loop's wait it was on a CPU, where that was most of it
};

struct StallReport {
  Stall stall;
  WorkloadProcess process;
  Owner owner;
  uint32_t cause = LS_CAUSE_UNKNOWN;  // the largest share
  bool host_to_blame = false;
  std::optional<WaitReport> wait;
  std::optional<Frame> culprit;  // nothing where frames are not readable
  CulpritRule rule = CulpritRule::kLeaf;
  size_t culprit_index = 0;   // in `frames`; their number where it is not among them
  std::vector<Frame> frames;  // innermost first; empty where they are not readable
  bool frames_cut = false;    // there are more
  // Of a deep stack both ends are kept: how many frames are left out, and after how many.
  uint32_t frames_left_out = 0;
  uint32_t left_out_after = 0;
  std::string callee;  // the C function that the innermost frame called; "" not known
  std::string task;    // of asyncio; else the function that the loop called; "" not known
  std::optional<ReadyCallbacks> callbacks;
  std::optional<GilHolder> gil_holder;
  std::optional<GilWaits> gil_waits;
  std::vector<Contributor> contributors;  // the largest first
  std::vector<StackTime>
      stack_times;               // in the order of time; what no stack was seen of is not in it
  std::vector<MovedTime> moved;  // already in stall.causes
  std::optional<WaitedFor> waited_for;
  // Whether it had the interpreter lock for most of its CPU time; nothing where that is not known.
  std::optional<bool> lock_held;
  std::optional<SystemReport> system;  // nothing where it did nothing
  std::optional<GcReport> gc;
  std::optional<ImportReport> import;
  std::optional<CallReport> call;        // as the audit probe told it
  std::vector<FunctionCalls> functions;  // called most, the most often called first
  std::string advice;
};

}  // namespace loopsight
