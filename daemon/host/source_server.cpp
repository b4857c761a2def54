#include "daemon/host/source_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <utility>
#include <vector>

#include "daemon/host/reader_sandbox.h"
#include "daemon/host/source_channel.h"
#include "daemon/host/source_file.h"
#include "daemon/host/source_protocol.h"
#include "daemon/host/source_walk.h"

namespace loopsight {
namespace {

constexpr unsigned kAlarmSeconds = 2;
constexpr int kDeadlineMs = 1000;
constexpr int kRestartMs = 1000;
constexpr size_t kMostStuck = 32;
constexpr int kMostStuckOfUser = 2;
constexpr int kRefused = 3;  // exit status: no sandbox, or no memory

SourceAnswer read_found(int proc, const FoundSource& found, const SourceRequest& request) {
  if (changed_after(found.status, request.started_ns)) return {.outcome = SourceOutcome::kChanged};
  Fd file = open_found(proc, found);
  if (!file) return {.outcome = SourceOutcome::kNotThere};
  auto lines = read_lines(file.get(), request.first, request.last);
  if (!lines) return {.outcome = SourceOutcome::kNoSuchLines};
  return {.outcome = SourceOutcome::kRead, .text = std::move(*lines)};
}

// With the rights of the program alone.
SourceAnswer answer_as_user(int proc, const SourceRequest& request, const Descriptors& given) {
  if (!become(request.as)) return {.outcome = SourceOutcome::kNoRights};
  auto found = find_source(given.base.get(), request.path, request.as);
  if (!found) return {.outcome = found.error()};
  SourceAnswer answer = read_found(proc, *found, request);
  if (answer.outcome == SourceOutcome::kRead)
    answer.is_public =
        is_public_at(given.host_root.get(), request.host_path, request.as, found->status);
  return answer;
}

[[noreturn]] void run_child(Fd out, int proc, const SourceRequest& request,
                            const Descriptors& given) {
  alarm(kAlarmSeconds);
  try {
    SourceAnswer answer = answer_as_user(proc, request, given);
    answer.number = request.number;
    (void)send_message(out.get(), encode(answer));
  } catch (const std::exception&) {
    _exit(kRefused);  // out of memory: no answer says so
  }
  _exit(0);
}

class Server {
 public:
  Server(Fd socket, Fd proc) : socket_(std::move(socket)), proc_(std::move(proc)) {}

  // Until the daemon has gone.
  void serve() {
    (void)send_message(socket_.get(), encode(SourceAnswer{.outcome = SourceOutcome::kStarted}));
    while (auto message = receive_message(socket_.get(), -1)) {
      reap();
      auto request = decode_source_request(message->bytes);
      SourceAnswer answer{.outcome = SourceOutcome::kBadRequest};
      if (request && message->descriptors.base) {
        answer = answer_to(*request, message->descriptors);
        answer.number = request->number;
      }
      if (!send_message(socket_.get(), encode(answer))) return;
    }
  }

 private:
  struct Stuck {
    pid_t pid;
    uint32_t user;
  };

  void reap() {
    for (;;) {
      pid_t ended = waitpid(-1, nullptr, WNOHANG);
      if (ended <= 0) return;
      std::erase_if(stuck_, [&](const Stuck& one) { return one.pid == ended; });
    }
  }

  bool refuses(uint32_t user) const {
    auto of_user = std::count_if(stuck_.begin(), stuck_.end(),
                                 [&](const Stuck& one) { return one.user == user; });
    return stuck_.size() >= kMostStuck || of_user >= kMostStuckOfUser;
  }

  SourceAnswer answer_to(const SourceRequest& request, const Descriptors& given) {
    if (refuses(request.as.user)) return {.outcome = SourceOutcome::kTooManyHang};
    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
      return {.outcome = SourceOutcome::kDied};
    Fd ours(pair[0]);
    Fd theirs(pair[1]);
    pid_t child = fork();
    if (child < 0) return {.outcome = SourceOutcome::kDied};
    if (child == 0) {
      socket_.reset();  // what the daemon asks is none of its business
      ours.reset();
      run_child(std::move(theirs), proc_.get(), request, given);
    }
    theirs.reset();
    bool timed_out = false;
    auto message = receive_message(ours.get(), kDeadlineMs, &timed_out);
    stuck_.push_back({.pid = child, .user = request.as.user});
    if (timed_out) return {.outcome = SourceOutcome::kHung};
    auto answer = message ? decode_source_answer(message->bytes) : std::nullopt;
    if (!answer || !answers(*answer, request)) {
      wait_for(child);
      return {.outcome = SourceOutcome::kDied};
    }
    wait_for(child);
    return std::move(*answer);
  }

  // One that has answered ends at once.
  void wait_for(pid_t child) {
    if (waitpid(child, nullptr, 0) == child)
      std::erase_if(stuck_, [&](const Stuck& one) { return one.pid == child; });
  }

  Fd socket_;
  Fd proc_;
  std::vector<Stuck> stuck_;  // those that have not ended
};

void take_only(Fd& socket) {
  if (socket.get() < 3) socket = Fd(fcntl(socket.get(), F_DUPFD_CLOEXEC, 3));
  // The streams may be a pipe that somebody reads to its end.
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int stream : {0, 1, 2}) dup2(null, stream);
  auto kept = static_cast<unsigned>(socket.get());
  if (kept > 3) syscall(SYS_close_range, 3U, kept - 1, 0);
  syscall(SYS_close_range, kept + 1, ~0U, 0);
}

}  // namespace

void keep_source_server(Fd socket) {
  prctl(PR_SET_NAME, "loopsight-reads", 0, 0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // The end of the daemon is ours, whatever the terminal or a service manager sends.
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) std::signal(number, SIG_IGN);
  for (int number : {SIGCHLD, SIGALRM}) std::signal(number, SIG_DFL);
  take_only(socket);
  Fd proc(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc || !enter_reader_sandbox()) _exit(kRefused);
  for (;;) {
    pid_t reader = fork();
    if (reader == 0) {
      Server(std::move(socket), std::move(proc)).serve();
      _exit(0);
    }
    int status = 0;
    while (reader > 0 && waitpid(reader, &status, 0) < 0 && errno == EINTR) {
    }
    if (reader > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) _exit(0);
    // Not at once again; and one that can never be started ends with the daemon, too.
    pollfd daemon{.fd = socket.get(), .events = 0, .revents = 0};
    if (::poll(&daemon, 1, kRestartMs) > 0) _exit(kRefused);
  }
}

}  // namespace loopsight
