#include "daemon/totals/loop_table.h"

#include <algorithm>
#include <tuple>

namespace loopsight {
namespace {

constexpr uint64_t kWindowNs = 10'000'000'000;
constexpr size_t kMaxLooks = 64;

}  // namespace

void LoopTable::on_progress(const LoopProgress& progress, const WorkloadProcess& process,
                            uint64_t now_ns) {
  if (progress.ended) {
    loops_.erase(progress.loop);
    return;
  }
  if (loops_.size() >= LS_MAX_LOOPS && !loops_.contains(progress.loop)) return;
  Entry& entry = loops_[progress.loop];
  LoopLine& line = entry.line;
  line.process = process;
  line.pid = progress.tgid;
  line.tid = progress.tid;
  line.kind = progress.kind;
  line.iterations += progress.iterations;
  line.stalls += progress.lost_stalls;
  line.idle_ns += progress.idle_ns;
  line.stalled_ns = progress.stalled_ns;
  line.threshold_ns = progress.threshold_ns;
  entry.over_ns += progress.over_ns;
  if (progress.ready > 0) entry.ready = progress.ready;
  for (size_t i = 0; i < LS_CAUSES; i++) line.busy[i] += progress.busy[i];

  Look look{.time_ns = now_ns, .idle_ns = line.idle_ns, .over_ns = entry.over_ns};
  for (uint64_t ns : line.busy) look.busy_ns += ns;
  entry.looks.push_back(look);
  while (entry.looks.size() > 2 &&
         (entry.looks[1].time_ns + kWindowNs <= now_ns || entry.looks.size() > kMaxLooks))
    entry.looks.pop_front();
  const Look& first = entry.looks.front();
  uint64_t busy = look.busy_ns > first.busy_ns ? look.busy_ns - first.busy_ns : 0;
  uint64_t idle = look.idle_ns - first.idle_ns;
  line.utilisation.reset();
  if (busy + idle > 0)
    line.utilisation = static_cast<double>(busy) / static_cast<double>(busy + idle);
  line.condition = condition_of({.busy_ns = busy,
                                 .idle_ns = idle,
                                 .over_ns = look.over_ns - first.over_ns,
                                 .stalled_ns = progress.stalled_ns,
                                 .ready = entry.ready});
}

void LoopTable::on_stall(const StallReport& report) {
  if (report.stall.in_progress) return;
  auto found = loops_.find(report.stall.loop);
  if (found != loops_.end()) found->second.line.stalls++;
}

std::vector<LoopLine> LoopTable::lines() const {
  std::vector<LoopLine> lines;
  lines.reserve(loops_.size());
  for (const auto& [id, entry] : loops_) lines.push_back(entry.line);
  auto key = [](const LoopLine& line) {
    return std::tie(line.process.workload, line.process.worker, line.tid);
  };
  std::stable_sort(lines.begin(), lines.end(),
                   [&](const LoopLine& a, const LoopLine& b) { return key(a) < key(b); });
  return lines;
}

}  // namespace loopsight
