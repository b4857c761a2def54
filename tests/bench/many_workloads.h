// Sums as a large host has them: every label set that a workload can have is there.
#pragma once

#include <string>

#include "daemon/totals/totals.h"

namespace loopsight {

inline Totals many_workloads(uint32_t workloads, uint32_t workers, uint32_t culprits) {
  Totals totals;
  uint32_t row = 0;
  for (uint32_t i = 0; i < workloads; i++) {
    WorkloadProcess process{.workload = "production-service-" + std::to_string(i) + ".service",
                            .python = "3.11.2"};
    for (process.worker = 0; process.worker < workers; process.worker++) {
      row++;
      LoopProgress progress{.loop = {row, 1}, .tgid = row, .tid = row, .kind = LoopKind::kUvloop};
      progress.iterations = 1000;
      progress.idle_ns = 123'456'789'012 + row;
      for (auto& count : progress.buckets) count = 1000 + row;
      for (auto& time : progress.busy) time = 1'234'567'890 + row;
      totals.on_progress(progress, process, 1);
    }
    for (uint32_t culprit = 0; culprit < culprits; culprit++) {
      StallReport report{.process = process, .cause = culprit % LS_CAUSES};
      report.stall = {.start_ns = 0, .end_ns = 80'000'000};
      report.culprit = Frame{.function = "handle_request_" + std::to_string(culprit),
                             .module = "production_service.views"};
      totals.on_stall(report);
    }
  }
  return totals;
}

}  // namespace loopsight
