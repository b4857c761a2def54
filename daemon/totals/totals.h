// The sums behind /metrics and the summary: by workload and worker, bounded, and kept for a while
// after the last loop of a workload has gone, so that a scrape does not miss its end. Labels are
// charged to the owners of the processes: where there are no more, who has most of them gives some
// of his up for others, first those whose loops have gone; what he has then is "other".
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "daemon/attribute/report.h"
#include "daemon/attribute/workloads.h"
#include "daemon/base/fair_shares.h"
#include "daemon/correlate/pool_watch.h"
#include "daemon/correlate/stall.h"

namespace loopsight {

struct TotalsLimits {
  size_t workloads = 500;
  size_t workers = 64;        // of one workload
  size_t culprits = 32;       // of one workload
  size_t all_workers = 4096;  // of all workloads
  size_t kinds = 16;          // of one workload: pairs of loop and python
  size_t holders = 32;        // of the interpreter lock, of one workload
  uint64_t keep_ns = 300'000'000'000;
};

struct WorkerTotals {
  uint64_t iterations = 0;
  uint64_t polls = 0;
  uint64_t zero_polls = 0;
  uint64_t idle_ns = 0;
  CauseTimes busy{};
  std::array<uint64_t, LS_MAX_BUCKETS> buckets{};
  std::map<LoopId, uint32_t> ready;       // callbacks of one iteration, where that is known
  std::map<LoopId, uint64_t> stalled_ns;  // of the loops that are alive
};

struct GcTotals {
  uint64_t ns = 0;
  std::array<uint64_t, LS_MAX_BUCKETS> buckets{};
};

struct WorkloadTotals {
  Owner owner;  // that it was first seen of
  std::array<GcTotals, LS_GC_GENERATIONS> gc;
  std::map<uint32_t, WorkerTotals> workers;
  std::array<uint64_t, LS_CAUSES> stalls{};
  std::map<std::pair<uint32_t, std::string>, uint64_t> stall_ns;  // by cause and culprit
  std::map<std::pair<std::string, std::string>, uint32_t> loops;  // alive, by kind and python
  std::array<uint64_t, LS_MAX_BUCKETS> late_buckets{};            // timers by their lateness
  uint64_t late_ns = 0;
  uint64_t delayed_events = 0;  // at most; see Delayed
  uint64_t delayed_ns = 0;
  uint64_t gil_waits = 0;
  std::map<std::string, uint64_t> gil_wait_ns;  // by who had the lock
  uint64_t last_alive_ns = 0;
  std::map<uint32_t, PoolProgress> pools;  // of the processes that have thread pools, by tgid
  uint64_t executor_saturated_ns = 0;
  bool has_executors = false;  // or had
};

class Totals {
 public:
  Totals() = default;
  explicit Totals(TotalsLimits limits) : limits_(limits) {}

  // What is there already stays.
  void set_limits(TotalsLimits limits) { limits_ = limits; }

  void on_progress(const LoopProgress& progress, const WorkloadProcess& process, uint64_t now_ns,
                   const Owner& owner = {});
  void on_stall(const StallReport& report);
  void on_pools(const PoolProgress& progress, const WorkloadProcess& process,
                const Owner& owner = {});
  void on_lock_wait(uint64_t ns, const Frame* holder, const WorkloadProcess& process,
                    const Owner& owner = {});
  void on_tick(uint64_t now_ns);  // drops what has been gone for long enough

  const std::map<std::string, WorkloadTotals>& workloads() const { return workloads_; }
  uint64_t folded_labels() const { return folded_labels_; }
  uint64_t yielded_labels() const { return yielded_labels_; }  // taken from who had most
  size_t loops() const { return alive_.size(); }

 private:
  using Kind = std::pair<std::string, std::string>;
  struct Alive {
    std::string workload;  // of its process
    std::string label;     // where it is counted: that, or "other"
    uint32_t worker;
    Kind kind;
  };
  using AliveLoops = std::map<LoopId, Alive>;
  WorkloadTotals& workload_of(const std::string& name, const Owner& owner);
  std::string label_of(const std::string& workload, const Owner& owner);
  bool give_up_label(const Owner& owner, bool living);
  uint32_t worker_of(const WorkloadTotals& totals, uint32_t worker);
  Kind kind_of(const WorkloadTotals& totals, const LoopProgress& progress,
               const std::string& python);
  AliveLoops::iterator enter(const LoopProgress& progress, const WorkloadProcess& process,
                             const Owner& owner);
  void leave(AliveLoops::iterator loop);

  TotalsLimits limits_;
  std::map<std::string, WorkloadTotals> workloads_;
  AliveLoops alive_;
  // Of labels. Not copied with the sums: only the one that counts looks at it.
  std::shared_ptr<FairShares<std::string>> shares_ =
      std::make_shared<FairShares<std::string>>(SIZE_MAX);
  uint64_t folded_labels_ = 0;
  uint64_t yielded_labels_ = 0;
};

// The label of a culprit: "module:function", no line number, so that it is stable across releases.
std::string culprit_label(const Frame* culprit);

}  // namespace loopsight
