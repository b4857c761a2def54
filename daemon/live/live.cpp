#include "daemon/live/live.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "daemon/base/clock.h"
#include "daemon/host/proc.h"
#include "daemon/live/child_ending.h"

namespace loopsight {
namespace {

constexpr uint64_t kTickNs = 250'000'000;
constexpr uint64_t kSecondNs = 1'000'000'000;

// What the signals that arrived ask for.
struct Asked {
  bool stop = false;
  bool reload = false;
};

Asked read_signals(int fd, Child* child, bool can_reload) {
  Asked asked;
  signalfd_siginfo info{};
  while (read(fd, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) continue;
    if (number == SIGHUP && can_reload) {
      asked.reload = true;
      continue;
    }
    asked.stop = true;
    // A terminal gives its interrupt to the whole foreground group, the child included.
    bool from_terminal = info.ssi_code == SI_KERNEL;
    if (child && !from_terminal) child->signal(number);
  }
  return asked;
}

void end_child(const Child& child, int number) {
  if (number != SIGTERM)
    spdlog::warn("the command (pid {}) did not end at {}: it gets {} now{}", child.pid(),
                 number == SIGINT ? "SIGTERM" : "SIGINT", number == SIGINT ? "SIGINT" : "SIGKILL",
                 number == SIGKILL ? "; what it started goes on" : "");
  child.signal(number);
}

bool any_alive(const std::vector<uint32_t>& pids) {
  return std::any_of(pids.begin(), pids.end(), [](uint32_t pid) {
    // A process of another user, which we may not signal, is alive too.
    return kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM;
  });
}

}  // namespace

Result<Fd> open_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a closed output is an error of a write, not our end
  Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return failure(fmt::format("cannot take signals: {}", std::strerror(errno)));
  return fd;
}

Result<int> run_live(LiveSource& source, const Fd& signals, int ring_fd, LiveOptions options) {
  uint64_t start = monotonic_now_ns();
  uint64_t next_tick = start + kTickNs;
  uint64_t next_second = start;
  uint64_t end = options.duration_ns ? start + *options.duration_ns : UINT64_MAX;
  bool asked_child = false;
  ChildEnding ending;
  for (;;) {
    uint64_t now = monotonic_now_ns();
    uint64_t until = std::min({next_tick, std::max(end, now), std::max(source.next_ns(), now),
                               std::max(ending.next_ns(), now)});
    std::array<pollfd, 2> fds = {{{.fd = ring_fd, .events = POLLIN, .revents = 0},
                                  {.fd = signals.get(), .events = POLLIN, .revents = 0}}};
    int timeout = until > now ? static_cast<int>((until - now) / 1'000'000) + 1 : 0;
    ::poll(fds.data(), fds.size(), timeout);
    if (auto polled = source.poll(0); !polled) return tl::make_unexpected(polled.error());
    Asked asked = read_signals(signals.get(), options.child, bool{options.on_reload});
    if (asked.reload)
      if (auto reloaded = options.on_reload(); !reloaded)
        return tl::make_unexpected(reloaded.error());
    now = monotonic_now_ns();
    bool child_ended = options.child && options.child->reap().has_value();
    bool over = now >= end || (asked.stop && (!options.child || asked_child));
    if (asked.stop) asked_child = true;
    if (now >= end && options.child && !child_ended) {
      // The command is ours, so it ends with the trace.
      ending.begin(now);
      end = UINT64_MAX;
      over = false;
    }
    if (auto number = ending.due(now); number && !child_ended) end_child(*options.child, *number);
    if (!options.pids.empty() && !any_alive(options.pids)) over = true;
    if (child_ended || over) {
      // What the last moments left in the ring buffer, and the final sums.
      if (auto polled = source.poll(0); !polled) return tl::make_unexpected(polled.error());
      if (auto ticked = source.finish(now); !ticked) return tl::make_unexpected(ticked.error());
      return child_ended ? *options.child->reap() : 0;
    }
    if (auto attended = source.attend(now); !attended) return tl::make_unexpected(attended.error());
    if (now < next_tick) continue;
    if (auto ticked = source.tick(now); !ticked) return tl::make_unexpected(ticked.error());
    next_tick = now + kTickNs;
    if (now >= next_second && options.every_second) {
      options.every_second();
      next_second = now + kSecondNs;
    }
  }
}

}  // namespace loopsight
