// A saturated thread pool with its names: what the sinks write. All strings are clean.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/attribute/code_judge.h"
#include "daemon/attribute/report.h"
#include "daemon/attribute/workloads.h"
#include "daemon/correlate/pool_watch.h"

namespace loopsight {

struct ExecutorReport {
  Saturation saturation;
  WorkloadProcess process;
  std::string pool;              // its threads' name; "" not known
  std::vector<Frame> frames;     // of most of the busy threads, innermost first; may be empty
  std::optional<Frame> culprit;  // of them
  std::string advice;
};

ExecutorReport report_saturation(Saturation saturation, const WorkloadProcess& process,
                                 const CodeJudge& judge);

}  // namespace loopsight
