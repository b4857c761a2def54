#include "daemon/totals/summary.h"

namespace loopsight {
namespace {

constexpr size_t kMaxLines = 1000;

}  // namespace

void Summarizer::on_progress(const LoopProgress& progress, const WorkloadProcess& process) {
  uint64_t busy = 0;
  for (size_t i = 0; i < LS_CAUSES; i++) {
    busy += progress.busy[i];
    totals_.busy[i] += progress.busy[i];
  }
  totals_.iterations += progress.iterations;
  totals_.idle_ns += progress.idle_ns;
  totals_.stalls += progress.lost_stalls;
  if (lines_.size() >= kMaxLines && !lines_.contains(progress.loop)) return;
  Summary::LoopLine& line = lines_[progress.loop];
  if (line.workload.empty())
    line = {.workload = process.workload,
            .workload_source = process.source,
            .worker = process.worker,
            .kind = name_of(progress.kind),
            .pid = progress.tgid,
            .tid = progress.tid};
  line.kind = name_of(progress.kind);
  line.iterations += progress.iterations;
  line.stalls += progress.lost_stalls;
  line.idle_ns += progress.idle_ns;
  line.busy_ns += busy;
  line.polls += progress.polls;
  line.zero_polls += progress.zero_polls;
  line.load.add(progress);
}

void Summarizer::on_stall(const StallReport& report) {
  if (report.stall.in_progress) return;
  totals_.stalls++;
  auto line = lines_.find(report.stall.loop);
  if (line != lines_.end()) {
    line->second.stalls++;
  } else if (lines_.size() < kMaxLines) {
    lines_[report.stall.loop] = {.workload = report.process.workload,
                                 .workload_source = report.process.source,
                                 .worker = report.process.worker,
                                 .kind = name_of(report.stall.kind),
                                 .pid = report.stall.tgid,
                                 .tid = report.stall.tid,
                                 .stalls = 1};
  }
}

Summary Summarizer::summary(uint64_t watched_ns, uint64_t lost) const {
  Summary summary = totals_;
  summary.watched_ns = watched_ns;
  summary.lost = lost;
  for (const auto& [id, line] : lines_) summary.loops.push_back(line);
  return summary;
}

}  // namespace loopsight
