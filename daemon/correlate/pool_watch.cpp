#include "daemon/correlate/pool_watch.h"

#include <algorithm>
#include <utility>

namespace loopsight {
namespace {

constexpr size_t kMaxProcesses = 32768;

bool is_full(const SeenPool& pool) {
  return pool.threads > 0 && pool.busy == pool.threads &&
         pool.threads >= pool.max_workers.value_or(0);
}

}  // namespace

void PoolWatch::end(Pool& pool, uint64_t now_ns, PoolFindings& findings) {
  if (!pool.open) return;
  Saturation over = std::move(*pool.open);
  pool.open.reset();
  over.end_ns = std::max(now_ns, over.start_ns);
  over.in_progress = false;
  over.pool.queued = pool.worst.queued;
  over.pool.oldest_wait_ns = pool.worst.oldest_wait_ns;
  pool.last_end_ns = over.end_ns;
  findings.saturations.push_back(std::move(over));
}

void PoolWatch::on_pool(const PoolState& event, const SeenPool& seen, Pool& pool,
                        PoolFindings& findings) {
  uint64_t now_ns = event.time_ns;
  pool.seen_ns = now_ns;
  if (!seen.queued) return;  // not readable this time: nothing is known anew
  bool idle = seen.busy < seen.threads;
  bool over = *seen.queued == 0 || seen.oldest_wait_ns < kLongWaitNs / 2 ||
              (idle && std::exchange(pool.was_idle, idle));
  pool.was_idle = idle;
  if (pool.open && over) {
    findings.progress->saturated_ns += now_ns - std::min(now_ns, pool.counted_ns);
    end(pool, now_ns, findings);
    return;
  }
  if (!pool.open) {
    if (over || !is_full(seen) || seen.oldest_wait_ns < kLongWaitNs) return;
    uint64_t start = std::max(now_ns - std::min(now_ns, seen.oldest_wait_ns), pool.last_end_ns);
    pool.open = Saturation{.tgid = event.tgid, .start_ns = start};
    pool.counted_ns = start;
    pool.next_report_ns = now_ns;
    pool.worst = seen;
  }
  pool.worst.queued = std::max(pool.worst.queued, seen.queued);
  pool.worst.oldest_wait_ns = std::max(pool.worst.oldest_wait_ns, seen.oldest_wait_ns);
  Saturation& open = *pool.open;
  findings.progress->saturated_ns += now_ns - std::min(now_ns, pool.counted_ns);
  pool.counted_ns = now_ns;
  open.end_ns = now_ns;
  open.in_progress = true;
  if (!idle) {
    auto frames = std::move(open.pool.frames);
    uint32_t alike = open.pool.alike;
    open.pool = seen;
    if (seen.frames.empty()) {
      open.pool.frames = std::move(frames);
      open.pool.alike = alike;
    }
  }
  if (event.cpus_used) open.cpus_used = event.cpus_used;
  if (event.cpus_quota) open.cpus_quota = event.cpus_quota;
  if (now_ns < pool.next_report_ns) return;
  uint64_t next = kFirstReportNs;
  while (next <= open.duration_ns() && next < UINT64_MAX / 2) next *= 2;
  pool.next_report_ns = open.start_ns + next;
  findings.saturations.push_back(open);
}

PoolFindings PoolWatch::on_state(const PoolState& event) {
  PoolFindings findings;
  findings.progress = PoolProgress{.tgid = event.tgid, .ended = event.pools.empty()};
  if (processes_.size() >= kMaxProcesses && !processes_.contains(event.tgid)) return findings;
  Pools& pools = processes_[event.tgid];
  for (const SeenPool& seen : event.pools) {
    findings.progress->busy += seen.busy;
    findings.progress->idle += seen.threads - std::min(seen.busy, seen.threads);
    findings.progress->queued += seen.queued.value_or(0);
    on_pool(event, seen, pools[seen.id], findings);
  }
  for (auto& [id, pool] : pools)
    if (pool.seen_ns != event.time_ns) end(pool, pool.seen_ns, findings);
  std::erase_if(pools, [&](const auto& one) { return one.second.seen_ns != event.time_ns; });
  if (pools.empty()) processes_.erase(event.tgid);
  return findings;
}

PoolFindings PoolWatch::on_exit(uint32_t tgid, uint64_t now_ns) {
  PoolFindings findings;
  auto found = processes_.find(tgid);
  if (found == processes_.end()) return findings;
  findings.progress = PoolProgress{.tgid = tgid, .ended = true};
  for (auto& [id, pool] : found->second) {
    if (pool.open) findings.progress->saturated_ns += now_ns - std::min(now_ns, pool.counted_ns);
    end(pool, now_ns, findings);
  }
  processes_.erase(found);
  return findings;
}

}  // namespace loopsight
