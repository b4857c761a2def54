// Which workload a process belongs to, and which of its workers it is.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "daemon/event/event.h"
#include "daemon/event/workload_name.h"

namespace loopsight {

// 11 of "3.11.2", 0 of anything else.
int minor_version(const std::string& python);

struct WorkloadProcess {
  std::string workload;
  WorkloadSource source = WorkloadSource::kArgv;
  uint32_t worker = 0;  // the smallest number free when the process was first seen
  std::string comm;
  std::string python;
  std::string unit;       // "" without one
  std::string container;  // "" outside one
  std::string pod;        // "namespace/pod", "" outside Kubernetes
};

// The processes that were met, by tgid. A worker's number is given again after its process ends.
class Workloads {
 public:
  void on_facts(const ProcessFacts& facts);
  void on_exit(uint32_t tgid);

  // Never null: a process that nobody described is workload "unknown", worker 0.
  const WorkloadProcess& find(uint32_t tgid) const;
  size_t size() const { return processes_.size(); }

 private:
  std::map<uint32_t, WorkloadProcess> processes_;
  std::map<std::string, std::set<uint32_t>> workers_;  // numbers in use
};

}  // namespace loopsight
