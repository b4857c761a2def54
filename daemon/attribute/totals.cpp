#include "daemon/attribute/totals.h"

namespace loopsight {
namespace {

constexpr const char* kOther = "other";
constexpr uint32_t kOtherWorker = 0xFFFFFFFF;

}  // namespace

std::string culprit_label(const StallReport& report) {
  if (!report.culprit) return "unknown";
  return report.culprit->module + ":" + report.culprit->function;
}

WorkloadTotals& Totals::workload_of(const std::string& name) {
  auto found = workloads_.find(name);
  if (found != workloads_.end()) return found->second;
  if (workloads_.size() < limits_.workloads) return workloads_[name];
  folded_labels_++;
  return workloads_[kOther];
}

uint32_t Totals::worker_of(WorkloadTotals& totals, uint32_t worker) {
  if (totals.workers.contains(worker) || totals.workers.size() < limits_.workers) return worker;
  folded_labels_++;
  return kOtherWorker;
}

void Totals::on_progress(const LoopProgress& progress, const WorkloadProcess& process,
                         uint64_t now_ns) {
  WorkloadTotals& workload = workload_of(process.workload);
  workload.last_alive_ns = now_ns;
  auto alive = alive_.find(progress.loop);
  if (alive == alive_.end()) {
    std::pair<std::string, std::string> kind{name_of(progress.kind), process.python};
    workload.loops[kind]++;
    alive = alive_
                .emplace(progress.loop, Alive{.workload = process.workload,
                                              .worker = worker_of(workload, process.worker),
                                              .kind = std::move(kind)})
                .first;
  }
  if (alive->second.kind.first != name_of(progress.kind)) {  // it is known better by now
    workload.loops[alive->second.kind]--;
    if (workload.loops[alive->second.kind] == 0) workload.loops.erase(alive->second.kind);
    alive->second.kind.first = name_of(progress.kind);
    workload.loops[alive->second.kind]++;
  }
  WorkerTotals& worker = workload.workers[alive->second.worker];
  worker.iterations += progress.iterations;
  worker.zero_polls += progress.zero_polls;
  worker.idle_ns += progress.idle_ns;
  for (size_t i = 0; i < LS_CAUSES; i++) worker.busy[i] += progress.busy[i];
  for (size_t i = 0; i < LS_MAX_BUCKETS; i++) worker.buckets[i] += progress.buckets[i];
  worker.stalled_ns[progress.loop] = progress.stalled_ns;
  for (size_t i = 0; i < LS_GC_GENERATIONS; i++) {
    workload.gc[i].ns += progress.gc_ns[i];
    for (size_t j = 0; j < LS_MAX_BUCKETS; j++)
      workload.gc[i].buckets[j] += progress.gc_buckets[i][j];
  }
  if (progress.lost_stalls > 0) {
    workload.stalls[LS_CAUSE_UNKNOWN] += progress.lost_stalls;
  }
  if (!progress.ended) return;
  worker.stalled_ns.erase(progress.loop);
  auto loops = workload.loops.find(alive->second.kind);
  if (loops != workload.loops.end() && loops->second > 0) loops->second--;
  alive_.erase(alive);
}

void Totals::on_stall(const StallReport& report) {
  if (report.stall.in_progress) return;  // counted when it ends
  WorkloadTotals& workload = workload_of(report.process.workload);
  workload.stalls[report.cause]++;
  std::string culprit = culprit_label(report);
  std::pair<uint32_t, std::string> key{report.cause, culprit};
  if (!workload.stall_ns.contains(key) && workload.stall_ns.size() >= limits_.culprits) {
    key.second = kOther;
    folded_labels_++;
  }
  workload.stall_ns[key] += report.stall.duration_ns();
}

void Totals::on_tick(uint64_t now_ns) {
  std::erase_if(workloads_, [&](const auto& entry) {
    const WorkloadTotals& workload = entry.second;
    for (const auto& [kind, count] : workload.loops)
      if (count > 0) return false;
    return now_ns > workload.last_alive_ns + limits_.keep_ns;
  });
}

}  // namespace loopsight
