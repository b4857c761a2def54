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

#include "daemon/attribute/advice.h"
#include "daemon/base/text.h"

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
    default: return std::nullopt;
  }
}

namespace {

// The innermost frame of the user's own code; where there is none, the innermost of all.
const Frame* find_culprit(const std::vector<Frame>& frames) {
  for (const Frame& frame : frames)
    if (!is_library_file(frame.file)) return &frame;
  return frames.empty() ? nullptr : &frames.front();
}

constexpr size_t kMaxContributors = 5;

bool passes_through(const std::vector<Frame>& frames, std::string_view file) {
  return std::any_of(frames.begin(), frames.end(),
                     [&](const Frame& frame) { return frame.file.ends_with(file); });
}

// What the kernel cannot see of a cause, the frames tell: an import, whatever it waits on, and the
// pipe of a child that the subprocess module reads.
std::optional<uint32_t> cause_by_frames(const std::vector<Frame>& frames, uint32_t cause) {
  if (passes_through(frames, "<frozen importlib._bootstrap>")) return LS_CAUSE_IMPORT;
  if (cause == LS_CAUSE_PIPE && passes_through(frames, "/subprocess.py"))
    return LS_CAUSE_SUBPROCESS;
  return std::nullopt;
}

}  // namespace

// Chooses the stack that stands for the stall: of a wait the one at its beginning, of computing the
// newest sample of the code that was met most often.
void Attributor::name_code(const Stall& stall, StallReport& report) const {
  int minor = minor_version(report.process.python);
  const StackSample* wait = nullptr;
  std::map<std::string, std::pair<size_t, const StackSample*>> on_cpu;  // by culprit
  size_t cpu_samples = 0;
  for (const StackSample& sample : stall.samples) {
    auto frames = codes_.resolve(stall.tgid, minor, sample.stack);
    const Frame* culprit = find_culprit(frames);
    if (!culprit) continue;
    if (sample.source == LS_STACK_OF_HOLDER) {
      if (stall.causes[LS_CAUSE_GIL] > 0)
        report.gil_holder = GilHolder{.tid = sample.holder_tid, .frames = frames};
      continue;
    }
    if (sample.source == LS_STACK_OF_WAIT) {
      wait = &sample;
      if (stall.wait && stall.wait->duration_ns > 0)
        report.contributors.push_back(
            {.frame = *culprit, .ns = stall.wait->duration_ns, .cause = stall.wait->cause});
      continue;
    }
    auto& [count, newest] = on_cpu[culprit->file + ":" + culprit->function];
    count++;
    newest = &sample;
    cpu_samples++;
  }
  const StackSample* chosen = nullptr;
  size_t most = 0;
  for (const auto& [name, entry] : on_cpu) {
    auto frames = codes_.resolve(stall.tgid, minor, entry.second->stack);
    report.contributors.push_back({.frame = *find_culprit(frames),
                                   .ns = stall.causes[LS_CAUSE_CPU] * entry.first / cpu_samples,
                                   .cause = LS_CAUSE_CPU});
    if (entry.first > most) {
      most = entry.first;
      chosen = entry.second;
    }
  }
  bool is_wait =
      report.cause != LS_CAUSE_CPU && report.cause != LS_CAUSE_IMPORT && !report.host_to_blame;
  if (wait && (is_wait || !chosen)) chosen = wait;
  std::stable_sort(report.contributors.begin(), report.contributors.end(),
                   [](const Contributor& a, const Contributor& b) { return a.ns > b.ns; });
  if (report.contributors.size() > kMaxContributors) report.contributors.resize(kMaxContributors);
  if (!chosen) return;
  report.frames = codes_.resolve(stall.tgid, minor, chosen->stack);
  if (const Frame* culprit = find_culprit(report.frames)) report.culprit = *culprit;
}

// Moves time between causes where the frames know better; the sum stays.
void Attributor::refine_causes(StallReport& report) const {
  Stall& stall = report.stall;
  int minor = minor_version(report.process.python);
  uint64_t cpu_samples = 0;
  uint64_t importing = 0;
  for (const StackSample& sample : stall.samples) {
    auto frames = codes_.resolve(stall.tgid, minor, sample.stack);
    if (sample.source == LS_STACK_OF_SAMPLE) {
      cpu_samples++;
      if (cause_by_frames(frames, LS_CAUSE_CPU)) importing++;
    } else if (sample.source == LS_STACK_OF_WAIT && stall.wait) {
      auto better = cause_by_frames(frames, stall.wait->cause);
      if (!better || is_host_cause(stall.wait->cause)) continue;
      uint64_t part = std::min<uint64_t>(stall.wait->duration_ns, stall.causes[stall.wait->cause]);
      stall.causes[stall.wait->cause] -= part;
      stall.causes[*better] += part;
      stall.wait->cause = *better;
    }
  }
  if (cpu_samples == 0) return;
  uint64_t part = stall.causes[LS_CAUSE_CPU] * importing / cpu_samples;
  stall.causes[LS_CAUSE_CPU] -= part;
  stall.causes[LS_CAUSE_IMPORT] += part;
}

StallReport Attributor::on_stall(const Stall& seen) const {
  StallReport report{.stall = seen, .process = workloads_.find(seen.tgid)};
  refine_causes(report);
  const Stall& stall = report.stall;
  auto largest = std::max_element(stall.causes.begin(), stall.causes.end());
  report.cause = static_cast<uint32_t>(largest - stall.causes.begin());
  report.host_to_blame = is_host_cause(report.cause);
  report.advice = advice_for(report.cause);
  if (stall.wait) {
    report.wait =
        WaitReport{.syscall = stall.wait->syscall >= 0 ? syscall_name(stall.wait->syscall) : "",
                   .target = describe_target(*stall.wait),
                   .cause = stall.wait->cause,
                   .duration_ns = stall.wait->duration_ns};
  }
  name_code(stall, report);
  return report;
}

}  // namespace loopsight
