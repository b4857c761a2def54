// The whole program on one screen: records in, reports out.
//
//   Tracer or recording --bytes--> decode --Event--> Timeline --Stall--> Attributor --report-->
//   Sinks
//
// What feeds it is a LiveSource (live_source.h) or a recording.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "daemon/attribute/attributor.h"
#include "daemon/attribute/code_judge.h"
#include "daemon/attribute/congestion.h"
#include "daemon/base/result.h"
#include "daemon/correlate/pool_watch.h"
#include "daemon/correlate/timeline.h"
#include "daemon/sink/sink.h"
#include "daemon/totals/loop_table.h"
#include "daemon/totals/summary.h"
#include "daemon/totals/totals.h"

namespace loopsight {

// What every stage after the tracer does with one record, live or replayed.
class Pipeline {
 public:
  // `sinks` are not owned.
  Pipeline(uint64_t threshold_ns, std::vector<Sink*> sinks);

  // Errors: a sink that takes no more.
  Result<void> feed(std::span<const std::byte> bytes);
  // Writes the summary. `no_loops`: the processes whose poll calls were judged to be no loop's.
  Result<void> finish(uint64_t watched_ns, std::vector<NoLoop> no_loops = {});
  // Whom the names, sources, labels and kept stalls of a process are charged to. Without it all
  // are nobody's.
  void charge_by(std::function<Owner(uint32_t tgid)> owner_of) { owner_of_ = std::move(owner_of); }
  CodeObjects& codes() { return codes_; }
  bool has_seen_loops() const { return summarizer_.has_loops(); }
  void set_limits(TotalsLimits limits) { totals_.set_limits(limits); }
  void expire(uint64_t now_ns) { totals_.on_tick(now_ns); }

  // Whose code is whose, beyond what follows from where it lies.
  void set_code_names(CodeNames names) { judge_.set_names(std::move(names)); }

  // The frame of a live process's stack that is to blame; null where there is none.
  const Frame* find_culprit(uint32_t tgid, std::vector<Frame>& frames) const {
    return judge_.find_culprit(frames, tgid, workloads_.find(tgid).workload);
  }
  // The frames of a stack of a live process.
  std::vector<Frame> resolve(const StackSeen& event) const;
  bool knows_code(uint32_t tgid, const ls_frame& frame) const { return codes_.knows(tgid, frame); }

  const Totals& totals() const { return totals_; }
  const LoopTable& loops() const { return loops_; }
  const Timeline& timeline() const { return timeline_; }
  uint64_t undecodable() const { return undecodable_; }

 private:
  Result<void> deliver(Findings findings, uint64_t now_ns);
  Result<void> deliver_pools(const PoolFindings& findings);
  void apply_moves(LoopProgress& progress);

  Timeline timeline_;
  PoolWatch pool_watch_;
  Workloads workloads_;
  CodeObjects codes_;
  Sources sources_;
  CodeJudge judge_;
  KernelFunctions kernel_;
  Attributor attributor_{workloads_, codes_, sources_, judge_, kernel_};
  Totals totals_;
  LoopTable loops_;
  CongestionWatch congestion_;
  Summarizer summarizer_;
  std::map<LoopId, std::vector<MovedTime>> moved_;  // not yet in the sums
  std::vector<Sink*> sinks_;
  uint64_t undecodable_ = 0;
  uint64_t now_ns_ = 0;
  std::function<Owner(uint32_t tgid)> owner_of_ = [](uint32_t) { return Owner{}; };
};

}  // namespace loopsight
