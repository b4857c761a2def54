// What happened, typed: the records of the kernel, and those that user space adds so that a
// recording holds all that the later stages need (no stage after this one reads /proc or a clock).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bpf/wire.h"

namespace loopsight {

enum class LoopKind {
  kUnknown,
  kAsyncio,
  kUvloop,
  kTornado,
  kTrio,
  kGevent,
  kTwisted,
  kEventlet,
  kKombu,
  kCurio,
  kRloop,
  kConfigured,  // by a run method that the configuration names
};

constexpr std::array<const char*, 12> kLoopKindNames = {
    "unknown", "asyncio",  "uvloop", "tornado", "trio",  "gevent",
    "twisted", "eventlet", "kombu",  "curio",   "rloop", "configured"};
inline const char* name_of(LoopKind kind) { return kLoopKindNames[static_cast<size_t>(kind)]; }

// The causes' public names, in the order of enum ls_cause.
constexpr std::array<const char*, LS_CAUSES> kCauseNames = {
    "cpu",       "gc",      "import", "gil",        "lock",       "sleep",
    "network",   "disk",    "pipe",   "subprocess", "page_fault", "run_queue",
    "throttled", "stopped", "other",  "unknown",    "system"};

// Time that is the host's doing, not that of any code of the program.
inline bool is_host_cause(uint32_t cause) {
  return cause == LS_CAUSE_RUN_QUEUE || cause == LS_CAUSE_THROTTLED || cause == LS_CAUSE_STOPPED ||
         cause == LS_CAUSE_PAGE_FAULT;
}

struct PollerSeen {
  ls_poller record;
};
struct StallEnded {
  ls_stall record;
};
struct LoopEnded {
  ls_loop_end record;
};
// What waited for a stall that has ended.
struct WaitersSeen {
  ls_waiters_record record;
};
struct StackSeen {
  ls_stack_record record;
};
struct CodeSeen {
  ls_code record;
};
struct FunctionsSeen {
  ls_functions record;
};
struct WakerSeen {
  ls_waker record;
};
struct ProcessExec {
  ls_process record;
};
struct ProcessFork {
  ls_process record;
};
struct ProcessExit {
  ls_process record;
};

// The state of one row of the loop table at `time_ns`.
struct LoopState {
  uint64_t time_ns = 0;
  uint32_t row = 0;
  ls_loop loop{};
};

// What /proc said of a process when it was first met. Strings are as the process gave them.
struct ProcessFacts {
  uint32_t tgid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat: with the tgid, the process's identity
  bool is_python = false;
  bool unread = false;  // it may be CPython or not: reading it hangs; in no record
  std::string why_not;  // is_python false: the reason
  std::string python;   // "3.11.2"
  std::string comm;
  std::string program;          // what it runs, by its command line
  std::string unit;             // systemd unit, "" without one
  std::string container;        // container id, "" outside one
  std::string container_name;   // what stays of it when it is started anew, "" where not known
  std::string pod;              // "namespace/pod", "" outside Kubernetes
  std::string configured_name;  // that the configuration gives its workload, "" without one
  std::string application;      // the package that its command line starts, "" not known
};

// Whether what polls in a row is a loop, and of which kind.
struct LoopVerdict {
  uint64_t time_ns = 0;
  uint32_t row = 0;
  uint32_t generation = 0;
  bool is_loop = false;
  LoopKind kind = LoopKind::kUnknown;
};

// Lines of a program's source, read for the expression that a stall was in.
struct SourceSeen {
  uint64_t time_ns = 0;
  uint32_t tgid = 0;
  std::string file;  // as the code object names it
  uint32_t line = 0;
  uint32_t end_line = 0;
  std::string text;        // from `line` to `end_line`
  bool is_public = false;  // every user of the host may read the file
};

// A function of the kernel. Stalls name it by its number, so that no address of the kernel is in a
// recording.
struct KernelFunction {
  uint64_t time_ns = 0;
  uint32_t number = 0;  // from 1
  std::string name;
};

// A thread pool (concurrent.futures.ThreadPoolExecutor) as a look at its process's memory showed
// it.
struct SeenFrame {
  std::string function;
  std::string file;
  uint32_t line = 0;
};
struct SeenPool {
  uint64_t id = 0;   // the address of its queue: tells it from the process's others
  std::string name;  // of its threads: "asyncio", "ThreadPoolExecutor-0"; "" not known
  uint32_t threads = 0;
  uint32_t busy = 0;  // of them, that run a job
  std::optional<uint32_t> max_workers;
  std::optional<uint64_t> queued;  // jobs that no thread has taken yet
  uint64_t oldest_wait_ns = 0;     // that the first of them has waited, at least
  std::vector<SeenFrame> frames;   // what most of the busy threads do, innermost first
  uint32_t alike = 0;              // how many of them do it
};

// All pools of a process that have threads; none: they have ended.
struct PoolState {
  uint64_t time_ns = 0;
  uint32_t tgid = 0;
  std::vector<SeenPool> pools;
  std::optional<double> cpus_used;   // by the whole process, of late; read of full pools only
  std::optional<double> cpus_quota;  // what its cgroup may use at most; nothing: no limit
};

// Records that the kernel could not hand over, since the last such event.
struct Lost {
  uint64_t time_ns = 0;
  uint64_t records = 0;
};

using Event =
    std::variant<PollerSeen, StallEnded, WaitersSeen, LoopEnded, StackSeen, CodeSeen, FunctionsSeen,
                 WakerSeen, ProcessExec, ProcessFork, ProcessExit, LoopState, ProcessFacts,
                 LoopVerdict, SourceSeen, KernelFunction, PoolState, Lost>;

}  // namespace loopsight
