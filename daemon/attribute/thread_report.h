// What the threads of a process do at one moment. All strings are clean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/survey_wire.h"
#include "daemon/attribute/report.h"

namespace loopsight {

struct ThreadReport {
  uint32_t tid = 0;
  std::string comm;
  ls_thread_activity activity = LS_THREAD_RUNS;
  uint64_t for_ns = 0;      // how long it has waited, at least; 0 not known
  uint64_t runtime_ns = 0;  // CPU time since it began
  bool is_python = false;   // the interpreter knows it
  // False where it ran while its frames were read: they may be of more than one moment.
  bool stood_still = false;
  std::optional<LoopKind> loop;  // of the loop that it runs
  bool polls = false;            // that loop waits for its descriptors and timers; else it is busy
  bool has_lock = false;         // the interpreter lock
  uint32_t lock_holder = 0;      // whom it waits for to give that up; 0: it does not, or not known
  // Its frames, what it waits for and the rest, as if it stalled since it began to wait.
  StallReport now;
};

struct ProcessReport {
  uint64_t time_ns = 0;
  uint32_t pid = 0;
  WorkloadProcess process;
  std::string why_no_frames;          // "" where they can be read
  bool has_more = false;              // threads than were read
  std::vector<ThreadReport> threads;  // busy loops, other loops, Python threads, the rest
};

}  // namespace loopsight
