// Who waits for a stall to end, in the real kernel: the next timer as the timeouts of the poll
// calls tell it, and the descriptors that became ready. What this process measures itself is the
// truth; on a busy host only what cannot be stretched is asserted.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <ctime>
#include <numeric>
#include <thread>

#include "daemon/probe/features.h"
#include "tests/bpf/fixture.h"

namespace loopsight {
namespace {

constexpr uint64_t kMs = 1'000'000;

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

class Victims : public TracedSelf {
 protected:
  void SetUp() override {
    TracedSelf::SetUp();
    if (!tracer_) return;
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_.data());
    epoll_event event{.events = EPOLLIN, .data = {.fd = ends_[0]}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, ends_[0], &event);
  }
  void TearDown() override {
    for (int fd : ends_) close(fd);
    TracedSelf::TearDown();
  }

  int wait(int timeout_ms) const {
    std::array<epoll_event, 8> events{};
    return epoll_wait(epoll_, events.data(), events.size(), timeout_ms);
  }
  void make_ready() const { EXPECT_EQ(write(ends_[1], "x", 1), 1); }
  void drain() const {
    char byte = 0;
    EXPECT_EQ(read(ends_[0], &byte, 1), 1);
  }
  // Comes back at once from a poll call that shows a timer due in `timeout_ms`; its deadline.
  uint64_t show_timer(int timeout_ms) const {
    make_ready();
    uint64_t before = now_ns();
    EXPECT_EQ(wait(timeout_ms), 1);
    drain();
    return before + static_cast<uint64_t>(timeout_ms) * kMs;
  }
  ls_waiters only_waiters() {
    auto found = take<WaitersSeen>();
    EXPECT_EQ(found.size(), 1U);
    return found.empty() ? ls_waiters{} : found[0].record.waiters;
  }
  uint64_t timers() const {
    auto row = row_of(epoll_);
    if (!row) return 0;
    return std::accumulate(std::begin(row->late_buckets), std::end(row->late_buckets), uint64_t{0});
  }

  std::array<int, 2> ends_ = {-1, -1};
};

TEST_F(Victims, ATimerThatWasDueDuringAStallIsLate) {
  uint64_t due = show_timer(20);
  sleep_ms(60);
  wait(0);
  uint64_t now = now_ns();
  ls_waiters waiters = only_waiters();
  ASSERT_NE(waiters.timer_due_ns, 0U);
  EXPECT_LE(waiters.timer_due_ns, due + kMs);
  EXPECT_GE(waiters.timer_due_ns, due - kMs);
  EXPECT_LE(waiters.timer_late_ns, now - waiters.timer_due_ns);
  EXPECT_GE(waiters.timer_late_ns, 39 * kMs);
  wait(0);  // the busy phase that fires it has ended
  EXPECT_EQ(timers(), 1U);
  EXPECT_GE(row_of(epoll_)->late_ns, 39 * kMs);
  wait(5);  // another one, fired by the timeout of its poll call
  wait(0);
  EXPECT_EQ(timers(), 2U);
}

TEST_F(Victims, ATimerThatIsNotDueOrWasCancelledIsNotLate) {
  show_timer(100'000);
  sleep_ms(60);
  wait(0);
  EXPECT_EQ(only_waiters().timer_due_ns, 0U);
  show_timer(20);
  sleep_ms(60);
  make_ready();
  wait(100'000);  // the next timer is far away: the one that was due has gone
  EXPECT_EQ(only_waiters().timer_due_ns, 0U);
  show_timer(20);
  sleep_ms(60);
  make_ready();
  wait(-1);  // or there is none any more
  EXPECT_EQ(only_waiters().timer_due_ns, 0U);
  wait(0);
  EXPECT_EQ(timers(), 0U);
  show_timer(20);
  uint64_t due = show_timer(200);
  sleep_ms(260);
  wait(0);
  uint64_t shown = only_waiters().timer_due_ns;
  EXPECT_GE(shown, due - kMs);
  EXPECT_LE(shown, due + kMs);
}

TEST_F(Victims, TheTimeoutsOfTheOtherCallsAreReadToo) {
  timespec time{.tv_sec = 0, .tv_nsec = 20'000'000};
  pollfd one{.fd = ends_[0], .events = POLLIN, .revents = 0};
  make_ready();
  uint64_t due = now_ns() + 20 * kMs;
  ASSERT_EQ(ppoll(&one, 1, &time, nullptr), 1);
  sleep_ms(60);
  timespec none{};
  ppoll(&one, 1, &none, nullptr);
  uint64_t shown = only_waiters().timer_due_ns;
  EXPECT_GE(shown, due - kMs / 2);
  EXPECT_LE(shown, now_ns() - 30 * kMs);
}

TEST_F(Victims, CountsWhatWasReadyAndWhatWasReadyBefore) {
  poll_once(epoll_);
  sleep_ms(40);
  EXPECT_EQ(wait(0), 0);
  EXPECT_EQ(only_waiters().ready, 0U);
  make_ready();
  sleep_ms(40);
  EXPECT_EQ(wait(1000), 1);
  ls_waiters waiters = only_waiters();
  EXPECT_EQ(waiters.ready, 1U);
  EXPECT_EQ(waiters.ready_before, 0U);
  sleep_ms(40);  // nobody has read it
  EXPECT_EQ(wait(0), 1);
  waiters = only_waiters();
  EXPECT_EQ(waiters.ready, 1U);
  EXPECT_EQ(waiters.ready_before, 1U);
  drain();
  // What becomes ready while the loop sleeps has not waited for it.
  sleep_ms(40);
  std::thread later([&] {
    sleep_ms(60);
    make_ready();
  });
  EXPECT_EQ(wait(10'000), 1);
  later.join();
  EXPECT_EQ(only_waiters().ready, 0U);
}

TEST_F(Victims, SeesSocketsBecomeReadyWhenAskedTo) {
  bool callback = fentry_is_allowed() && can_attach_fentry("ep_poll_callback");
  if (!callback && !can_attach_tracepoint("sk_data_ready"))
    GTEST_SKIP() << "this kernel shows nobody becoming ready";
  start({.threshold_ns = kThresholdNs, .listed_only = true, .exact_delays = true});
  epoll_event event{.events = EPOLLIN, .data = {.fd = ends_[0]}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, ends_[0], &event);
  poll_once(epoll_);
  sleep_ms(30);
  uint64_t before = now_ns();
  make_ready();
  uint64_t after = now_ns();
  sleep_ms(30);
  EXPECT_EQ(wait(0), 1);
  ls_waiters waiters = only_waiters();
  EXPECT_EQ(waiters.ready, 1U);
  EXPECT_EQ(waiters.seen, 1U);
  EXPECT_GE(waiters.wait_ns, waiters.end_ns - after);
  EXPECT_LE(waiters.wait_ns, waiters.end_ns - before);
  EXPECT_EQ(waiters.longest_ns, waiters.wait_ns);
  sleep_ms(40);  // it is ready still, and was so before this stall
  EXPECT_EQ(wait(0), 1);
  EXPECT_EQ(only_waiters().seen, 0U);
}

}  // namespace
}  // namespace loopsight
