#include "daemon/attribute/attributor.h"

#include <algorithm>
#include <utility>

#include "daemon/attribute/advice.h"
#include "daemon/attribute/wait_target.h"
#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxTarget = 300;
constexpr size_t kMaxName = 3 * size_t{LS_PATH_NAME_SIZE};  // each byte may become U+FFFD
constexpr size_t kMaxFunctions = 10;

// Each wait takes about the switch interval (5 ms unless the program set another), and together
// they are most of the stall.
bool is_convoy(const Stall& stall) {
  constexpr uint32_t kMinWaits = 3;
  constexpr uint64_t kShortestNs = 2'000'000;  // a wait may be seen as two
  constexpr uint64_t kLongestNs = 20'000'000;
  uint64_t ns = stall.causes[LS_CAUSE_GIL];
  return stall.gil_waits >= kMinWaits && ns >= stall.gil_waits * kShortestNs &&
         ns <= stall.gil_waits * kLongestNs && ns * 2 >= stall.duration_ns();
}

}  // namespace

std::optional<WaitedFor> Attributor::find_waited_for(const Stall& stall, int minor) const {
  if (!stall.waker) return std::nullopt;
  const ls_waker& waker = *stall.waker;
  WaitedFor found{.tid = waker.waker_tid,
                  .comm = clean_text(fixed_string(waker.comm, sizeof(waker.comm)), kMaxName)};
  // A wait that ended before the loop began to wait is of something else.
  uint64_t end_ns = waker.wait.start_ns + waker.wait.duration_ns;
  if (waker.wait.duration_ns == 0 || end_ns <= waker.slice_start_ns) return found;
  found.wait =
      WaitReport{.syscall = waker.wait.syscall >= 0 ? syscall_name(waker.wait.syscall) : "",
                 .target = describe_target(waker.wait),
                 .cause = waker.wait.cause,
                 .duration_ns = waker.wait.duration_ns};
  found.frames = codes_.resolve(stall.tgid, minor, waker.stack);
  found.culprit =
      judge_.judge(found.frames, stall.tgid, workloads_.find(stall.tgid).workload).culprit;
  return found;
}

// What CPython's own probes told, or what stands for it where they were not there.
void Attributor::name_probed(StallReport& report) {
  const Stall& stall = report.stall;
  const ls_probed& probed = stall.probed;
  if (probed.gc_count > 0)
    report.gc =
        GcReport{.generation = probed.gc_generation, .ns = probed.gc_ns, .count = probed.gc_count};
  else if (stall.causes[LS_CAUSE_GC] > 0)
    report.gc = GcReport{.ns = stall.causes[LS_CAUSE_GC]};
  auto name = fixed_string(probed.import_name, sizeof(probed.import_name));
  if (!name.empty())
    report.import = ImportReport{.name = clean_text(name, kMaxTarget), .ns = probed.import_ns};
  bool waited = stall.wait && stall.wait->cause == report.cause;
  report.call = describe_call(waited ? probed.longest_call : probed.call, report.cause);
  for (const ls_function& function : stall.functions)
    report.functions.push_back(
        {.function = clean_text(fixed_string(function.name, sizeof(function.name)), kMaxTarget),
         .file = clean_text(fixed_string(function.file, sizeof(function.file)), kMaxTarget),
         .line = function.line,
         .calls = function.calls});
  std::stable_sort(
      report.functions.begin(), report.functions.end(),
      [](const FunctionCalls& a, const FunctionCalls& b) { return a.calls > b.calls; });
  if (report.functions.size() > kMaxFunctions) report.functions.resize(kMaxFunctions);
}

StallReport Attributor::on_stall(const Stall& seen) const {
  StallReport report{.stall = seen, .process = workloads_.find(seen.tgid)};
  const Stall& stall = report.stall;
  if (stall.wait) {
    report.wait =
        WaitReport{.syscall = stall.wait->syscall >= 0 ? syscall_name(stall.wait->syscall) : "",
                   .target = describe_target(*stall.wait),
                   .cause = stall.wait->cause,
                   .duration_ns = stall.wait->duration_ns};
  }
  auto slices = find_slices(report, minor_version(report.process.python));
  if (report.wait) report.wait->cause = stall.wait->cause;
  if (stall.causes[LS_CAUSE_GIL] == 0 &&
      !(stall.wait && stall.wait->object == LS_OBJECT_STOPPED_WORLD))
    report.gil_holder.reset();
  auto largest = std::max_element(stall.causes.begin(), stall.causes.end());
  report.cause = static_cast<uint32_t>(largest - stall.causes.begin());
  report.host_to_blame = is_host_cause(report.cause);
  if (stall.gil_waits > 0)
    report.gil_waits = GilWaits{.count = stall.gil_waits, .convoy = is_convoy(stall)};
  name_code(slices, report);
  name_probed(report);
  report.waited_for = find_waited_for(report.stall, minor_version(report.process.python));
  for (Slice& slice : slices)
    report.stack_times.push_back(
        {.frames = std::move(slice.frames), .ns = slice.ns, .cause = slice.cause});
  report.advice = find_advice(report).text;
  return report;
}

}  // namespace loopsight
