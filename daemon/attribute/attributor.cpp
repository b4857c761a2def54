#include "daemon/attribute/attributor.h"

#include <arpa/inet.h>
#include <asm/unistd_64.h>
#include <fmt/format.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "daemon/attribute/advice.h"
#include "daemon/base/text.h"
#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

constexpr size_t kMaxTarget = 300;
constexpr size_t kMaxName = 3 * size_t{LS_PATH_NAME_SIZE};  // each byte may become U+FFFD

std::optional<std::string> socket_target(const ls_wait& wait) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (wait.family == AF_INET) {
    if (wait.port == 0) return std::nullopt;
    inet_ntop(AF_INET, wait.address, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), wait.port);
  }
  if (wait.family == AF_INET6) {
    if (wait.port == 0) return std::nullopt;
    inet_ntop(AF_INET6, wait.address, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), wait.port);
  }
  if (wait.family == AF_UNIX) {
    auto path = fixed_string(&wait.names[0][0], sizeof(wait.names));
    return path.empty() ? "unix socket" : fmt::format("unix:{}", clean_text(path, kMaxTarget));
  }
  return std::nullopt;
}

std::optional<std::string> path_target(const ls_wait& wait) {
  std::string path;
  for (int i = LS_PATH_NAMES - 1; i >= 0; i--) {
    bool filled = true;  // names end at the first empty one
    for (int j = 0; j <= i; j++) filled = filled && wait.names[j][0] != '\0';
    if (!filled) continue;
    if (i == LS_PATH_NAMES - 1) path = "...";
    path += '/';
    path += clean_text(fixed_string(wait.names[i], LS_PATH_NAME_SIZE), kMaxName);
  }
  if (path.empty()) return std::nullopt;
  return path;
}

std::optional<std::string> process_target(const ls_wait& wait) {
  // wait4(pid, ...); waitid(P_PID, pid, ...): P_PID is 1.
  auto pid = static_cast<int>(wait.syscall == __NR_waitid ? wait.args[1] : wait.args[0]);
  if (wait.syscall == __NR_waitid && wait.args[0] != 1) return std::nullopt;
  if (wait.syscall != __NR_waitid && wait.syscall != __NR_wait4) return std::nullopt;
  if (pid <= 0) return "any child";
  return fmt::format("pid {}", pid);
}

}  // namespace

std::string syscall_name(int number) {
  std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &std::free);
  return name ? std::string(name.get()) : fmt::format("syscall {}", number);
}

std::optional<std::string> describe_target(const ls_wait& wait) {
  if (wait.cause == LS_CAUSE_SUBPROCESS && wait.object == LS_OBJECT_NONE)
    return process_target(wait);
  switch (wait.object) {
    case LS_OBJECT_PATH: {
      auto path = fixed_string(&wait.names[0][0], sizeof(wait.names));
      if (path.empty()) return std::nullopt;
      return clean_text(path, kMaxTarget);
    }
    case LS_OBJECT_SOCKET: return socket_target(wait);
    case LS_OBJECT_EPOLL:
      if (wait.family != 0) return socket_target(wait);
      return path_target(wait);
    case LS_OBJECT_PIPE: {
      auto fifo = path_target(wait);  // an anonymous pipe has no name
      return fifo ? fifo : std::optional<std::string>("pipe");
    }
    case LS_OBJECT_FILE:
    case LS_OBJECT_DIRECTORY:
    case LS_OBJECT_BLOCK_DEVICE:
    case LS_OBJECT_CHARACTER_DEVICE: return path_target(wait);
    case LS_OBJECT_EVENTFD: return "eventfd";
    case LS_OBJECT_TIMERFD: return "timerfd";
    case LS_OBJECT_PIDFD: return "pidfd";
    case LS_OBJECT_STOPPED_WORLD: return "a stop-the-world pause of the interpreter";
    default: return std::nullopt;
  }
}

namespace {

constexpr size_t kMaxContributors = 5;
constexpr size_t kMaxFunctions = 10;

bool passes_through(const std::vector<Frame>& frames, std::string_view module) {
  return std::any_of(frames.begin(), frames.end(),
                     [&](const Frame& frame) { return frame.module == module; });
}

// What the kernel cannot see of a cause, the frames tell: an import, whatever it waits on, and the
// pipe of a child that the subprocess module reads.
uint32_t refine_cause(const std::vector<Frame>& frames, uint32_t cause) {
  if (is_host_cause(cause)) return cause;
  if (passes_through(frames, "importlib._bootstrap")) return LS_CAUSE_IMPORT;
  if (cause == LS_CAUSE_PIPE && passes_through(frames, "subprocess")) return LS_CAUSE_SUBPROCESS;
  return cause;
}

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

std::string task_name(const ls_stack& stack) {
  if (stack.task_number > 0) return fmt::format("Task-{}", stack.task_number);
  if (stack.task_length == 0) return "";
  return decode_text(stack.task_state, stack.task_length, stack.task);
}

}  // namespace

// The parts of a busy phase that are known by their frames, each with its share of the time: a wait
// its length; of the CPU time each sample its weight's part. Moves the time of those whose cause
// the frames know better to that cause; the sum stays.
std::vector<Attributor::Slice> Attributor::find_slices(StallReport& report, int minor) const {
  Stall& stall = report.stall;
  std::vector<Slice> slices;
  std::array<double, LS_CAUSES> weights{};  // as integers damaged ones could wrap
  for (const StackSample& sample : stall.samples) {
    auto frames = codes_.resolve(stall.tgid, minor, sample.stack);
    if (!find_culprit(frames)) continue;
    if (sample.source == LS_STACK_OF_HOLDER) {
      report.gil_holder = GilHolder{.tid = sample.holder_tid, .frames = std::move(frames)};
      continue;
    }
    Slice slice{.sample = &sample, .frames = std::move(frames)};
    slice.culprit = *find_culprit(slice.frames);
    slice.ns = sample.slice_ns;
    slice.cause = sample.cause;
    if (sample.source == LS_STACK_OF_SAMPLE)
      weights[sample.cause] += static_cast<double>(sample.slice_ns);
    else if (stall.wait && stall.wait->start_ns == sample.slice_start_ns)
      slice.ns = stall.wait->duration_ns;  // of a wait that goes on only this is known
    slices.push_back(std::move(slice));
  }
  const CauseTimes before = stall.causes;
  for (Slice& slice : slices) {
    uint32_t seen = slice.cause;
    if (slice.sample->source == LS_STACK_OF_SAMPLE) {
      double whole = weights[seen];
      double share = whole > 0 ? static_cast<double>(slice.ns) / whole : 0;
      slice.ns = static_cast<uint64_t>(static_cast<double>(before[seen]) * share);
      if (slice.sample->stack.flags & LS_STACK_IN_GC) slice.cause = LS_CAUSE_GC;
    }
    if (slice.cause != LS_CAUSE_GC) slice.cause = refine_cause(slice.frames, slice.cause);
    if (slice.cause == seen) continue;
    uint64_t part = std::min(slice.ns, stall.causes[seen]);
    stall.causes[seen] -= part;
    stall.causes[slice.cause] += part;
    report.moved.push_back({.from = seen, .to = slice.cause, .ns = part});
    if (stall.wait && slice.sample->source == LS_STACK_OF_WAIT &&
        stall.wait->start_ns == slice.sample->slice_start_ns)
      stall.wait->cause = slice.cause;
  }
  return slices;
}

// Sums the slices by culprit, and names the one with the most time of the stall's own cause.
void Attributor::name_code(const std::vector<Slice>& slices, StallReport& report) const {
  struct Group {
    Contributor total;
    const Slice* largest = nullptr;
  };
  std::map<std::tuple<std::string, std::string, uint32_t>, Group> groups;  // by culprit and cause
  std::map<uint32_t, uint64_t> by_callback;
  uint64_t seen_ns = 0;
  uint32_t ready = 0;
  for (const Slice& slice : slices) {
    Group& group = groups[{slice.culprit.file, slice.culprit.function, slice.cause}];
    group.total.ns += slice.ns;
    // Of equal ones, as CPU samples are, the newest.
    if (!group.largest || slice.ns >= group.largest->ns) group.largest = &slice;
    group.total.frame = group.largest->culprit;
    group.total.cause = slice.cause;
    ready = std::max(ready, slice.sample->stack.ready);
    by_callback[slice.sample->stack.ready_index] += slice.ns;
    seen_ns += slice.ns;
  }
  const Group* chosen = nullptr;
  auto better = [&](const Group& one, const Group& other) {
    bool one_fits = one.total.cause == report.cause;
    bool other_fits = other.total.cause == report.cause;
    return one_fits != other_fits ? one_fits : one.total.ns > other.total.ns;
  };
  for (auto& [key, group] : groups) {
    if (!chosen || better(group, *chosen)) chosen = &group;
    report.contributors.push_back(group.total);
  }
  std::stable_sort(report.contributors.begin(), report.contributors.end(),
                   [](const Contributor& a, const Contributor& b) { return a.ns > b.ns; });
  if (report.contributors.size() > kMaxContributors) report.contributors.resize(kMaxContributors);
  if (ready > 0 && seen_ns > 0) {
    uint64_t largest = 0;
    for (const auto& [index, ns] : by_callback) largest = std::max(largest, ns);
    report.callbacks = ReadyCallbacks{
        .count = ready,
        .largest_share = static_cast<double>(largest) / static_cast<double>(seen_ns)};
  }
  if (!chosen) return;
  const Slice& slice = *chosen->largest;
  report.frames = slice.frames;
  report.frames_cut = slice.sample->stack.end == LS_STACK_CUT;
  const ls_stack& stack = slice.sample->stack;
  report.callee = clean_text(fixed_string(stack.callee, sizeof(stack.callee)), LS_CALLEE_SIZE);
  uint32_t tgid = report.stall.tgid;
  sources_.show_expression(tgid, report.frames.front());
  report.culprit = slice.culprit;
  sources_.show_expression(tgid, *report.culprit);
  report.task = task_name(stack);
  const Frame* root = find_root(slice.frames);
  if (report.task.empty() && root) report.task = root->function;
}

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
  auto slices = find_slices(report, minor_version(report.process.python));
  const Stall& stall = report.stall;
  if (stall.causes[LS_CAUSE_GIL] == 0 &&
      !(stall.wait && stall.wait->object == LS_OBJECT_STOPPED_WORLD))
    report.gil_holder.reset();
  auto largest = std::max_element(stall.causes.begin(), stall.causes.end());
  report.cause = static_cast<uint32_t>(largest - stall.causes.begin());
  report.host_to_blame = is_host_cause(report.cause);
  if (stall.wait) {
    report.wait =
        WaitReport{.syscall = stall.wait->syscall >= 0 ? syscall_name(stall.wait->syscall) : "",
                   .target = describe_target(*stall.wait),
                   .cause = stall.wait->cause,
                   .duration_ns = stall.wait->duration_ns};
  }
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
