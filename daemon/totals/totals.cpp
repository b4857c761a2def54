#include "daemon/totals/totals.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr const char* kOther = "other";
constexpr uint32_t kOtherWorker = 0xFFFFFFFF;

bool lives(const WorkloadTotals& workload) {
  return std::any_of(workload.loops.begin(), workload.loops.end(),
                     [](const auto& kind) { return kind.second > 0; });
}

}  // namespace

std::string culprit_label(const Frame* culprit) {
  if (!culprit) return "unknown";
  return culprit->module + ":" + culprit->function;
}

// Takes the oldest label of an owner whose loops have gone, or, where that is allowed, the oldest.
bool Totals::give_up_label(const Owner& owner, bool living) {
  auto names = shares_->entries_of(owner);
  auto gone = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    auto found = workloads_.find(name);
    return found == workloads_.end() || !lives(found->second);
  });
  if (gone == names.end() && (!living || names.empty())) return false;
  std::string name = gone == names.end() ? names.front() : *gone;
  std::vector<LoopId> loops;
  for (const auto& [id, loop] : alive_)
    if (loop.label == name) loops.push_back(id);
  for (const LoopId& id : loops) leave(alive_.find(id));  // with its next progress it is "other"
  workloads_.erase(name);
  shares_->remove(name);
  yielded_labels_++;
  return true;
}

std::string Totals::label_of(const std::string& workload, const Owner& owner) {
  if (workloads_.contains(workload) || workloads_.size() < limits_.workloads) return workload;
  auto yields = shares_->who_yields_to(owner);
  if (yields ? give_up_label(*yields, true) : give_up_label(owner, false)) return workload;
  folded_labels_++;
  return kOther;
}

// The sums of a label that label_of() gave.
WorkloadTotals& Totals::workload_of(const std::string& name, const Owner& owner) {
  auto [found, is_new] = workloads_.try_emplace(name);
  if (is_new) {
    found->second.owner = owner;
    if (name != kOther) shares_->add(name, owner);
  }
  return found->second;
}

uint32_t Totals::worker_of(const WorkloadTotals& totals, uint32_t worker) {
  if (totals.workers.contains(worker)) return worker;
  size_t all = 0;
  size_t of_owner = 0;
  for (const auto& [name, workload] : workloads_) {
    all += workload.workers.size();
    if (workload.owner == totals.owner) of_owner += workload.workers.size();
  }
  // As the kernel side has it: nobody gets more than three times what is left.
  constexpr size_t kFactor = 3;
  bool has_his_share =
      all >= limits_.all_workers || of_owner >= kFactor * (limits_.all_workers - all);
  if (totals.workers.size() < limits_.workers && !has_his_share) return worker;
  folded_labels_++;
  return kOtherWorker;
}

// What a file says of its version is its author's to choose.
Totals::Kind Totals::kind_of(const WorkloadTotals& totals, const LoopProgress& progress,
                             const std::string& python) {
  Kind kind{name_of(progress.kind), python};
  if (totals.loops.contains(kind) || totals.loops.size() < limits_.kinds) return kind;
  folded_labels_++;
  return {kOther, kOther};
}

Totals::AliveLoops::iterator Totals::enter(const LoopProgress& progress,
                                           const WorkloadProcess& process, const Owner& owner) {
  std::string label = label_of(process.workload, owner);
  WorkloadTotals& workload = workload_of(label, owner);
  Alive loop{.workload = process.workload,
             .label = label,
             .worker = worker_of(workload, process.worker),
             .kind = kind_of(workload, progress, process.python)};
  workload.loops[loop.kind]++;
  return alive_.insert_or_assign(progress.loop, std::move(loop)).first;
}

void Totals::leave(AliveLoops::iterator loop) {
  WorkloadTotals& workload = workloads_[loop->second.label];
  WorkerTotals& worker = workload.workers[loop->second.worker];
  worker.stalled_ns.erase(loop->first);
  worker.ready.erase(loop->first);
  auto count = workload.loops.find(loop->second.kind);
  if (count != workload.loops.end() && count->second > 0) count->second--;
  alive_.erase(loop);
}

void Totals::on_progress(const LoopProgress& progress, const WorkloadProcess& process,
                         uint64_t now_ns, const Owner& owner) {
  auto alive = alive_.find(progress.loop);
  if (alive != alive_.end() && alive->second.workload != process.workload) {
    leave(alive);  // its process is described anew
    alive = alive_.end();
  }
  if (alive == alive_.end()) alive = enter(progress, process, owner);
  WorkloadTotals& workload = workloads_[alive->second.label];
  workload.last_alive_ns = now_ns;
  Kind& kind = alive->second.kind;
  if (kind.first != name_of(progress.kind) && kind.first != kOther) {  // it is known better by now
    if (--workload.loops[kind] == 0) workload.loops.erase(kind);
    kind = kind_of(workload, progress, kind.second);
    workload.loops[kind]++;
  }
  WorkerTotals& worker = workload.workers[alive->second.worker];
  worker.iterations += progress.iterations;
  worker.polls += progress.polls;
  worker.zero_polls += progress.zero_polls;
  worker.idle_ns += progress.idle_ns;
  for (size_t i = 0; i < LS_CAUSES; i++) worker.busy[i] += progress.busy[i];
  for (size_t i = 0; i < LS_MAX_BUCKETS; i++) worker.buckets[i] += progress.buckets[i];
  if (progress.ready > 0) worker.ready[progress.loop] = progress.ready;
  for (size_t i = 0; i < LS_MAX_BUCKETS; i++) workload.late_buckets[i] += progress.late_buckets[i];
  workload.late_ns += progress.late_ns;
  workload.gil_waits += progress.gil_waits;
  worker.stalled_ns[progress.loop] = progress.stalled_ns;
  for (size_t i = 0; i < LS_GC_GENERATIONS; i++) {
    workload.gc[i].ns += progress.gc_ns[i];
    for (size_t j = 0; j < LS_MAX_BUCKETS; j++)
      workload.gc[i].buckets[j] += progress.gc_buckets[i][j];
  }
  if (progress.lost_stalls > 0) workload.stalls[LS_CAUSE_UNKNOWN] += progress.lost_stalls;
  if (progress.ended) leave(alive);
}

void Totals::on_stall(const StallReport& report) {
  if (report.stall.in_progress) return;  // counted when it ends
  WorkloadTotals& workload =
      workload_of(label_of(report.process.workload, report.owner), report.owner);
  workload.stalls[report.cause]++;
  if (report.stall.delayed) {
    workload.delayed_events += report.stall.delayed->events;
    workload.delayed_ns += report.stall.delayed->ns;
  }
  std::string culprit = culprit_label(report.culprit ? &*report.culprit : nullptr);
  std::pair<uint32_t, std::string> key{report.cause, culprit};
  if (!workload.stall_ns.contains(key) && workload.stall_ns.size() >= limits_.culprits) {
    key.second = kOther;
    folded_labels_++;
  }
  workload.stall_ns[key] += report.stall.duration_ns();
}

void Totals::on_pools(const PoolProgress& progress, const WorkloadProcess& process,
                      const Owner& owner) {
  WorkloadTotals& workload = workload_of(label_of(process.workload, owner), owner);
  workload.executor_saturated_ns += progress.saturated_ns;
  workload.has_executors = true;
  if (progress.ended)
    workload.pools.erase(progress.tgid);
  else
    workload.pools[progress.tgid] = progress;
}

void Totals::on_lock_wait(uint64_t ns, const Frame* holder, const WorkloadProcess& process,
                          const Owner& owner) {
  WorkloadTotals& workload = workload_of(label_of(process.workload, owner), owner);
  std::string label = culprit_label(holder);
  if (!workload.gil_wait_ns.contains(label) && workload.gil_wait_ns.size() >= limits_.holders) {
    label = kOther;
    folded_labels_++;
  }
  workload.gil_wait_ns[label] += ns;
}

void Totals::on_tick(uint64_t now_ns) {
  std::erase_if(workloads_, [&](const auto& entry) {
    const WorkloadTotals& workload = entry.second;
    if (lives(workload) || now_ns <= workload.last_alive_ns + limits_.keep_ns) return false;
    shares_->remove(entry.first);
    return true;
  });
}

}  // namespace loopsight
