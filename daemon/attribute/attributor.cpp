#include "daemon/attribute/attributor.h"

#include <algorithm>
#include <map>
#include <utility>

#include "daemon/attribute/advice.h"
#include "daemon/attribute/cause_bits.h"
#include "daemon/attribute/wait_target.h"
#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxTarget = 300;
constexpr size_t kMaxName = 3 * size_t{LS_PATH_NAME_SIZE};  // each byte may become U+FFFD
constexpr size_t kMaxFunctions = 10;
constexpr uint64_t kPageBytes = 4096;

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

bool is_most(uint64_t part, uint64_t whole) { return part > 0 && part * 2 >= whole; }

constexpr uint32_t kOutside =
    cause_bits(LS_CAUSE_NETWORK, LS_CAUSE_DISK, LS_CAUSE_SUBPROCESS, LS_CAUSE_PAGE_FAULT);

// What the longest wait turns out to have been, by the kernel's functions that it was in and by the
// thread that ended it.
uint32_t cause_of_wait(const Stall& stall, const MemoryWait& memory) {
  const ls_wait& wait = *stall.wait;
  if (wait.object == LS_OBJECT_MEMORY_MAP && wait.cause == LS_CAUSE_LOCK) return memory.cause;
  if (!stall.waker) return wait.cause;
  const ls_waker& waker = *stall.waker;
  bool is_lock = wait.cause == LS_CAUSE_LOCK;
  // A thread that was to start, or to give the lock back, could not for want of the interpreter's.
  if (is_lock && is_most(waker.gil_ns, wait.duration_ns)) return LS_CAUSE_GIL;
  if (wait.object != LS_OBJECT_EVENTFD || wait.cause != LS_CAUSE_PIPE) return wait.cause;
  // Behind an eventfd stands the thread that writes it: the loop waits for that thread, or for what
  // that waits for outside of the process.
  uint64_t end_ns = waker.wait.start_ns + waker.wait.duration_ns;
  bool waited = end_ns > waker.slice_start_ns && is_most(waker.wait.duration_ns, wait.duration_ns);
  bool is_outside = kOutside >> waker.wait.cause & 1;
  return waited && is_outside ? waker.wait.cause : uint32_t{LS_CAUSE_LOCK};
}

std::optional<bool> holds_lock(const Stall& stall) {
  uint64_t held = 0, not_held = 0;
  for (const StackSample& sample : stall.samples) {
    if (sample.source != LS_STACK_OF_SAMPLE) continue;
    if (sample.stack.flags & LS_STACK_HAS_LOCK) held++;
    if (sample.stack.flags & LS_STACK_NO_LOCK) not_held++;
  }
  if (held + not_held == 0) return std::nullopt;
  return held >= not_held;
}

// What of the samples in the kernel most were in.
std::string kernel_call(const Stall& stall) {
  std::map<int, uint64_t> calls;
  for (const StackSample& sample : stall.samples)
    if (sample.source == LS_STACK_OF_SAMPLE && sample.cause == LS_CAUSE_SYSTEM)
      calls[sample.syscall] += sample.slice_ns;
  auto most = std::max_element(calls.begin(), calls.end(),
                               [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == calls.end()) return stall.minor_faults > 0 ? SystemReport::kPageFault : "";
  return most->first < 0 ? SystemReport::kPageFault : syscall_name(most->first);
}

}  // namespace

std::optional<WaitedFor> Attributor::find_waited_for(const Stall& stall, int minor) const {
  if (!stall.waker) return std::nullopt;
  const ls_waker& waker = *stall.waker;
  WaitedFor found{.tid = waker.waker_tid,
                  .comm = clean_text(fixed_string(waker.comm, sizeof(waker.comm)), kMaxName)};
  uint64_t whole = stall.wait ? stall.wait->duration_ns : 0;
  if (is_most(waker.gil_ns, whole)) {
    found.wait = WaitReport{.cause = LS_CAUSE_GIL, .duration_ns = waker.gil_ns};
    return found;
  }
  // A wait that ended before the loop began to wait is of something else, and a short one does not
  // tell what took long.
  uint64_t end_ns = waker.wait.start_ns + waker.wait.duration_ns;
  bool is_of_it = waker.wait.duration_ns > 0 && end_ns > waker.slice_start_ns;
  if (!is_of_it || !is_most(waker.wait.duration_ns, whole)) {
    uint64_t ran_ns = std::min<uint64_t>(waker.ran_ns, whole);
    if (is_most(ran_ns, whole)) found.ran_ns = ran_ns;
    if (!is_of_it || found.ran_ns > waker.wait.duration_ns) return found;
  }
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

void Attributor::name_longest_wait(StallReport& report) const {
  Stall& stall = report.stall;
  if (!stall.wait) return;
  auto functions = kernel_.names(stall.kernel);
  MemoryWait memory = memory_wait(functions);
  uint32_t seen = stall.wait->cause;
  uint32_t cause = cause_of_wait(stall, memory);
  if (cause != seen) {
    uint64_t part = std::min<uint64_t>(stall.wait->duration_ns, stall.causes[seen]);
    stall.causes[seen] -= part;
    stall.causes[cause] += part;
    report.moved.push_back({.from = seen, .to = cause, .ns = part});
    stall.wait->cause = cause;
  }
  report.wait =
      WaitReport{.syscall = stall.wait->syscall >= 0 ? syscall_name(stall.wait->syscall) : "",
                 .target = describe_target(*stall.wait),
                 .cause = cause,
                 .duration_ns = stall.wait->duration_ns,
                 .timed_out = (stall.wait->flags & LS_WAIT_TIMED_OUT) != 0,
                 .kernel = std::move(functions)};
  if (stall.wait->object != LS_OBJECT_MEMORY_MAP) return;
  report.wait->target = memory.target;
  report.wait->at_memory_limit = memory.at_limit;
}

StallReport Attributor::on_stall(const Stall& seen) const {
  StallReport report{.stall = seen, .process = workloads_.find(seen.tgid)};
  const Stall& stall = report.stall;
  name_longest_wait(report);
  report.lock_held = holds_lock(stall);
  if (uint64_t ns = stall.causes[LS_CAUSE_SYSTEM]; ns > 0)
    report.system = SystemReport{.call = kernel_call(stall),
                                 .ns = ns,
                                 .minor_faults = stall.minor_faults,
                                 .address_space = uint64_t{stall.mapped_pages} * kPageBytes};
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
  report.advice = advice_text(find_advice(report), report);
  return report;
}

}  // namespace loopsight
