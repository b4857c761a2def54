// Each way of leaving the CPU, and the cause that the kernel side gives it.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <thread>

#include "tests/bpf/fixture.h"

namespace loopsight {
namespace {

using std::chrono::milliseconds;

void sleep_ms(int ms) { std::this_thread::sleep_for(milliseconds(ms)); }

struct Case {
  const char* name;
  uint32_t cause;
  uint32_t object;
  std::function<void()> block;  // for about 40 ms
};

// Writes a byte to `fd` after 40 ms from a child process, so that no other thread of this one runs.
void later(int fd) {
  if (fork() == 0) {
    usleep(40'000);
    [[maybe_unused]] ssize_t written = write(fd, "12345678", 8);
    _exit(0);
  }
}

void read_from(int fd, int writer) {
  later(writer);
  char buffer[8];
  [[maybe_unused]] ssize_t got = read(fd, buffer, sizeof(buffer));
  while (waitpid(-1, nullptr, 0) > 0) {
  }
}

void read_pipe() {
  int ends[2];
  [[maybe_unused]] int made = pipe(ends);
  read_from(ends[0], ends[1]);
  close(ends[0]);
  close(ends[1]);
}

void read_socket() {
  int ends[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  read_from(ends[0], ends[1]);
  close(ends[0]);
  close(ends[1]);
}

void read_eventfd() {
  int fd = eventfd(0, 0);
  read_from(fd, fd);
  close(fd);
}

void read_timerfd() {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  itimerspec time{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 40'000'000}};
  timerfd_settime(fd, 0, &time, nullptr);
  uint64_t expirations = 0;
  [[maybe_unused]] ssize_t got = read(fd, &expirations, sizeof(expirations));
  close(fd);
}

void wait_on_woken_futex() {
  static uint32_t word;
  word = 0;
  std::thread waker([] {
    usleep(40'000);
    std::atomic_ref<uint32_t>(word).store(1);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  });
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  waker.join();
}

void wait_on_futex() {
  uint32_t word = 0;
  timespec timeout{.tv_sec = 0, .tv_nsec = 40'000'000};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &timeout, nullptr, 0);
}

void wait_for_child() {
  if (fork() == 0) {
    usleep(40'000);
    _exit(0);
  }
  wait(nullptr);
}

void wait_for_pidfd() {
  pid_t child = fork();
  if (child == 0) {
    usleep(40'000);
    _exit(0);
  }
  pollfd one{
      .fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0)), .events = POLLIN, .revents = 0};
  poll(&one, 1, 1000);
  close(one.fd);
  wait(nullptr);
}

void wait_for_file_lock() {
  char path[] = "/tmp/loopsight-lock-XXXXXX";
  int held = mkstemp(path);
  int wanted = open(path, O_RDWR | O_CLOEXEC);
  unlink(path);
  flock(held, LOCK_EX);
  if (fork() == 0) {
    usleep(40'000);
    flock(held, LOCK_UN);
    _exit(0);
  }
  flock(wanted, LOCK_EX);
  wait(nullptr);
  close(held);
  close(wanted);
}

void poll_socket() {
  int ends[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  pollfd one{.fd = ends[0], .events = POLLIN, .revents = 0};
  poll(&one, 1, 40);
  close(ends[0]);
  close(ends[1]);
}

void select_pipe() {
  int ends[2];
  [[maybe_unused]] int made = pipe(ends);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  timeval timeout{.tv_sec = 0, .tv_usec = 40'000};
  select(ends[0] + 1, &set, nullptr, nullptr, &timeout);
  close(ends[0]);
  close(ends[1]);
}

void stop_and_continue() {
  pid_t self = getpid();
  if (fork() == 0) {
    usleep(10'000);
    kill(self, SIGSTOP);
    usleep(50'000);
    kill(self, SIGCONT);
    _exit(0);
  }
  auto end = std::chrono::steady_clock::now() + milliseconds(40);
  while (std::chrono::steady_clock::now() < end) {
  }
  wait(nullptr);
}

void compute() {
  auto end = std::chrono::steady_clock::now() + milliseconds(60);
  while (std::chrono::steady_clock::now() < end) {
  }
}

class Split : public TracedSelf, public testing::WithParamInterface<Case> {};

TEST_P(Split, GivesTheCause) {
  const Case& one = GetParam();
  iterate(one.block);
  auto stalls = take<StallEnded>();
  ASSERT_EQ(stalls.size(), 1U);
  const ls_stall& stall = stalls[0].record;
  uint64_t total =
      std::accumulate(std::begin(stall.phase_ns), std::end(stall.phase_ns), uint64_t{0});
  EXPECT_EQ(total, stall.end_ns - stall.start_ns);  // the causes add up, to the nanosecond
  EXPECT_GT(stall.phase_ns[one.cause], kThresholdNs) << "of " << total;
  if (one.cause == LS_CAUSE_CPU) return;
  EXPECT_EQ(stall.longest.cause, one.cause);
  EXPECT_EQ(stall.longest.object, one.object);
  EXPECT_GE(stall.longest.start_ns, stall.start_ns);
  EXPECT_LE(stall.longest.start_ns + stall.longest.duration_ns, stall.end_ns);
}

INSTANTIATE_TEST_SUITE_P(
    Waits, Split,
    testing::Values(
        Case{"compute", LS_CAUSE_CPU, 0, compute},
        Case{"sleep", LS_CAUSE_SLEEP, LS_OBJECT_NONE, [] { sleep_ms(40); }},
        Case{"poll_nothing", LS_CAUSE_SLEEP, LS_OBJECT_NONE, [] { poll(nullptr, 0, 40); }},
        Case{"timerfd", LS_CAUSE_SLEEP, LS_OBJECT_TIMERFD, read_timerfd},
        Case{"futex", LS_CAUSE_LOCK, LS_OBJECT_NONE, wait_on_woken_futex},
        Case{"futex_until_its_time_is_up", LS_CAUSE_SLEEP, LS_OBJECT_NONE, wait_on_futex},
        Case{"flock", LS_CAUSE_LOCK, LS_OBJECT_NONE, wait_for_file_lock},
        Case{"socket", LS_CAUSE_NETWORK, LS_OBJECT_SOCKET, read_socket},
        Case{"poll_socket", LS_CAUSE_NETWORK, LS_OBJECT_SOCKET, poll_socket},
        Case{"pipe", LS_CAUSE_PIPE, LS_OBJECT_PIPE, read_pipe},
        Case{"select_pipe", LS_CAUSE_PIPE, LS_OBJECT_PIPE, select_pipe},
        Case{"eventfd", LS_CAUSE_PIPE, LS_OBJECT_EVENTFD, read_eventfd},
        Case{"child", LS_CAUSE_SUBPROCESS, LS_OBJECT_NONE, wait_for_child},
        Case{"pidfd", LS_CAUSE_SUBPROCESS, LS_OBJECT_PIDFD, wait_for_pidfd},
        Case{"stopped", LS_CAUSE_STOPPED, LS_OBJECT_NONE, stop_and_continue}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace loopsight
