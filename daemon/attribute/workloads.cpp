#include "daemon/attribute/workloads.h"

#include <charconv>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxLabelBytes = 128;

}  // namespace

int minor_version(const std::string& python) {
  int minor = 0;
  if (python.starts_with("3."))
    std::from_chars(python.data() + 2, python.data() + python.size(), minor);
  return minor;
}

void Workloads::on_facts(const ProcessFacts& facts) {
  on_exit(facts.tgid);
  auto [workload, source] = workload_of(facts);
  WorkloadProcess process{.workload = std::move(workload),
                          .source = source,
                          .worker = 0,
                          .comm = clean_text(facts.comm, kMaxLabelBytes),
                          .python = clean_text(facts.python, 32),
                          .unit = clean_text(facts.unit, kMaxLabelBytes),
                          .container = clean_text(facts.container, kMaxLabelBytes),
                          .pod = clean_text(facts.pod, 2 * kMaxLabelBytes)};
  std::set<uint32_t>& used = workers_[process.workload];
  if (!used.empty() && *used.rbegin() + size_t{1} == used.size())
    process.worker = static_cast<uint32_t>(used.size());  // there is no gap
  while (used.contains(process.worker)) process.worker++;
  used.insert(process.worker);
  processes_[facts.tgid] = std::move(process);
}

void Workloads::on_exit(uint32_t tgid) {
  auto found = processes_.find(tgid);
  if (found == processes_.end()) return;
  auto workers = workers_.find(found->second.workload);
  if (workers != workers_.end()) {
    workers->second.erase(found->second.worker);
    if (workers->second.empty()) workers_.erase(workers);
  }
  processes_.erase(found);
}

const WorkloadProcess& Workloads::find(uint32_t tgid) const {
  static const WorkloadProcess kUnknown{.workload = "unknown"};
  auto found = processes_.find(tgid);
  return found == processes_.end() ? kUnknown : found->second;
}

}  // namespace loopsight
