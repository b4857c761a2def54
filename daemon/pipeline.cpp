#include "daemon/pipeline.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "daemon/event/codec.h"

namespace loopsight {

Pipeline::Pipeline(uint64_t threshold_ns, std::vector<Sink*> sinks)
    : timeline_(threshold_ns), sinks_(std::move(sinks)) {}

Result<void> Pipeline::feed(std::span<const std::byte> bytes) {
  auto event = decode(bytes);
  if (!event) {
    undecodable_++;
    return {};
  }
  Result<void> pools;
  Findings findings = std::visit(
      [&](const auto& one) -> Findings {
        using E = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<E, PollerSeen>) {
          return timeline_.on_poller(one);
        } else if constexpr (std::is_same_v<E, LoopVerdict>) {
          now_ns_ = one.time_ns;
          return timeline_.on_verdict(one);
        } else if constexpr (std::is_same_v<E, StallEnded>) {
          return timeline_.on_stall(one);
        } else if constexpr (std::is_same_v<E, WaitersSeen>) {
          return timeline_.on_waiters(one);
        } else if constexpr (std::is_same_v<E, StackSeen>) {
          return timeline_.on_stack(one);
        } else if constexpr (std::is_same_v<E, FunctionsSeen>) {
          return timeline_.on_functions(one);
        } else if constexpr (std::is_same_v<E, WakerSeen>) {
          return timeline_.on_waker(one);
        } else if constexpr (std::is_same_v<E, CodeSeen>) {
          codes_.on_code(one.record, owner_of_(one.record.header.tgid));
        } else if constexpr (std::is_same_v<E, LoopState>) {
          now_ns_ = one.time_ns;
          return timeline_.on_state(one);
        } else if constexpr (std::is_same_v<E, LoopEnded>) {
          return timeline_.on_end(one);
        } else if constexpr (std::is_same_v<E, SourceSeen>) {
          sources_.on_source(one, owner_of_(one.tgid));
        } else if constexpr (std::is_same_v<E, KernelFunction>) {
          kernel_.on_function(one);
        } else if constexpr (std::is_same_v<E, PoolState>) {
          pools = deliver_pools(pool_watch_.on_state(one));
        } else if constexpr (std::is_same_v<E, Lost>) {
          return timeline_.on_lost(one);
        } else if constexpr (std::is_same_v<E, ProcessFacts>) {
          if (one.is_python) {
            workloads_.on_facts(one);
            judge_.on_facts(one);
          }
        } else if constexpr (std::is_same_v<E, ProcessExec> || std::is_same_v<E, ProcessExit>) {
          const ls_header& header = one.record.header;
          pools = deliver_pools(pool_watch_.on_exit(header.tgid, header.time_ns));
          workloads_.on_exit(one.record.header.tgid);
          sources_.on_exit(one.record.header.tgid);
          codes_.on_exit(one.record.header.tgid);
          judge_.on_exit(one.record.header.tgid);
        }
        return {};
      },
      *event);
  auto delivered = deliver(std::move(findings), now_ns_);
  return delivered ? pools : delivered;
}

std::vector<Frame> Pipeline::resolve(const StackSeen& event) const {
  uint32_t tgid = event.record.header.tgid;
  return codes_.resolve(tgid, minor_version(workloads_.find(tgid).python), event.record.stack);
}

// The kernel side counted the moved time under its first cause; the loop's next progress holds it.
void Pipeline::apply_moves(LoopProgress& progress) {
  auto found = moved_.find(progress.loop);
  if (found == moved_.end()) return;
  for (MovedTime& move : found->second) {
    uint64_t part = std::min(move.ns, progress.busy[move.from]);
    progress.busy[move.from] -= part;
    progress.busy[move.to] += part;
    move.ns -= part;
  }
  std::erase_if(found->second, [](const MovedTime& move) { return move.ns == 0; });
  if (found->second.empty() || progress.ended) moved_.erase(found);
}

Result<void> Pipeline::deliver(Findings findings, uint64_t now_ns) {
  Result<void> result;
  for (const Stall& stall : findings.stalls) {
    StallReport report = attributor_.on_stall(stall);
    report.owner = owner_of_(stall.tgid);
    if (!stall.in_progress && !report.moved.empty()) {
      auto& moves = moved_[stall.loop];
      moves.insert(moves.end(), report.moved.begin(), report.moved.end());
    }
    totals_.on_stall(report);
    loops_.on_stall(report);
    summarizer_.on_stall(report);
    for (Sink* sink : sinks_)
      if (auto written = sink->on_stall(report); !written) result = written;
  }
  for (const LockWait& wait : findings.lock_waits) {
    const WorkloadProcess& process = workloads_.find(wait.tgid);
    auto frames = codes_.resolve(wait.tgid, minor_version(process.python), wait.holder);
    totals_.on_lock_wait(wait.ns, find_culprit(wait.tgid, frames), process, owner_of_(wait.tgid));
  }
  for (const BusySample& sample : findings.busy_samples) {
    const WorkloadProcess& process = workloads_.find(sample.tgid);
    auto frames = codes_.resolve(sample.tgid, minor_version(process.python), sample.stack);
    std::optional<size_t> outside;
    if (sample.stack.outside > 0) outside = sample.stack.outside - 1;
    JudgedCode judged = judge_.judge(frames, sample.tgid, process.workload, outside);
    congestion_.on_sample(sample, frames, judged);
  }
  for (LoopProgress& progress : findings.progress) {
    apply_moves(progress);
    const WorkloadProcess& process = workloads_.find(progress.tgid);
    totals_.on_progress(progress, process, now_ns, owner_of_(progress.tgid));
    loops_.on_progress(progress, process, now_ns);
    summarizer_.on_progress(progress, process);
    if (auto congestion = congestion_.on_progress(progress, process, now_ns))
      for (Sink* sink : sinks_)
        if (auto written = sink->on_congestion(*congestion); !written) result = written;
  }
  return result;
}

Result<void> Pipeline::deliver_pools(const PoolFindings& findings) {
  Result<void> result;
  for (const Saturation& saturation : findings.saturations) {
    auto report = report_saturation(saturation, workloads_.find(saturation.tgid), judge_);
    for (Sink* sink : sinks_)
      if (auto written = sink->on_executor(report); !written) result = written;
  }
  if (findings.progress)
    totals_.on_pools(*findings.progress, workloads_.find(findings.progress->tgid),
                     owner_of_(findings.progress->tgid));
  return result;
}

Result<void> Pipeline::finish(uint64_t watched_ns, std::vector<NoLoop> no_loops) {
  Summary summary = summarizer_.summary(watched_ns, timeline_.lost_records());
  std::erase_if(no_loops, [&](const NoLoop& process) {
    return std::any_of(summary.loops.begin(), summary.loops.end(),
                       [&](const auto& loop) { return loop.pid == process.pid; });
  });
  summary.no_loops = std::move(no_loops);
  Result<void> result;
  for (Sink* sink : sinks_)
    if (auto written = sink->on_summary(summary); !written) result = written;
  return result;
}

}  // namespace loopsight
