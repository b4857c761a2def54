#include "daemon/attribute/executor_report.h"

#include <fmt/format.h>

#include <utility>

#include "daemon/base/text.h"
#include "daemon/python/code_origin.h"

namespace loopsight {
namespace {

constexpr size_t kMaxName = 128;
constexpr double kNearly = 0.8;

std::string advice_for(const ExecutorReport& report) {
  const Saturation& saturation = report.saturation;
  const auto& used = saturation.cpus_used;
  const auto& quota = saturation.cpus_quota;
  // An idea of what the threads do all the time: compute, as far as they may, or wait.
  if (used && quota && *used >= kNearly * *quota)
    return fmt::format(
        "The process uses {:.2f} CPUs of the {:.2f} that its cgroup allows: more threads do not "
        "help, raise the CPU limit (cpu.max) or submit less.",
        *used, *quota);
  if (used && *used >= kNearly)
    return fmt::format(
        "The process computes ({:.2f} CPUs, and one interpreter lock allows about one): more "
        "threads do not help, use a ProcessPoolExecutor.",
        *used);
  std::string blocker = "their jobs";
  if (report.culprit && !report.frames.empty()) {
    blocker = report.culprit->function;
    if (report.frames.front().function != blocker)
      blocker += ", in " + report.frames.front().function;
  }
  bool is_default = report.pool == "asyncio";
  std::string limit =
      quota ? fmt::format(" (its cgroup allows {:.2f} CPUs)", *quota) : std::string();
  return fmt::format(
      "The threads wait ({}): give the pool more of them{}{}, bound what is submitted, or await an "
      "asynchronous client instead.",
      blocker,
      is_default ? " with loop.set_default_executor, since the default has min(32, CPUs + 4)"
                 : " with max_workers",
      limit);
}

}  // namespace

ExecutorReport report_saturation(Saturation saturation, const WorkloadProcess& process,
                                 const CodeJudge& judge) {
  ExecutorReport report{.process = process, .pool = clean_text(saturation.pool.name, kMaxName)};
  for (const SeenFrame& frame : saturation.pool.frames) {
    std::string file = clean_text(frame.file, 256);
    report.frames.push_back({.function = clean_text(frame.function, 256),
                             .module = module_name(file),
                             .file = file,
                             .line = frame.line});
  }
  const Frame* culprit = judge.find_culprit(report.frames, saturation.tgid, process.workload);
  if (culprit) report.culprit = *culprit;
  report.saturation = std::move(saturation);
  report.advice = advice_for(report);
  return report;
}

}  // namespace loopsight
