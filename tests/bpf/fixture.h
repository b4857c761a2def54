// The real programs in the real kernel, driven by the test process itself: it polls and blocks as
// a loop would, and looks at the records and rows that come of it. Nobody else is watched.
#pragma once

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/event/codec.h"
#include "daemon/probe/tracer.h"

namespace loopsight {

// LOOPSIGHT_TEST_HOOKS=tracepoints leaves fentry alone where the kernel has it (tests/vm/run).
inline bool fentry_is_allowed() {
  const char* hooks = std::getenv("LOOPSIGHT_TEST_HOOKS");
  return !hooks || std::string_view(hooks) != "tracepoints";
}

class TracedSelf : public testing::Test {
 protected:
  static constexpr uint64_t kThresholdNs = 20'000'000;

  void SetUp() override { start({.threshold_ns = kThresholdNs, .listed_only = true}); }

  void start(TracerOptions options) {
    options.allow_fentry = fentry_is_allowed();
    if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
    tracer_.reset();
    auto opened = Tracer::open(options);
    ASSERT_TRUE(opened) << opened.error().message;
    tracer_ = std::make_unique<Tracer>(std::move(*opened));
    ASSERT_TRUE(tracer_->set_process(static_cast<uint32_t>(getpid()), LS_PROCESS_PYTHON));
    auto attached = tracer_->attach();
    ASSERT_TRUE(attached) << attached.error().message;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
  }

  void TearDown() override {
    if (epoll_ >= 0) close(epoll_);
  }

  static void poll_once(int epoll) {
    epoll_event event{};
    epoll_wait(epoll, &event, 1, 0);
  }

  // One iteration of a loop on epoll_: poll, `callback`, poll.
  void iterate(const std::function<void()>& callback) const {
    poll_once(epoll_);
    callback();
    poll_once(epoll_);
  }

  // The records of this very process since the last call.
  std::vector<Event> events() {
    std::vector<Event> found;
    auto polled = tracer_->poll(0, [&](std::span<const std::byte> bytes) {
      auto event = decode(bytes);
      EXPECT_TRUE(event) << event.error().message;
      if (event) found.push_back(*event);
    });
    EXPECT_TRUE(polled);
    return found;
  }

  template <typename E>
  std::vector<E> take() {
    std::vector<E> found;
    for (const Event& event : events())
      if (const auto* one = std::get_if<E>(&event)) found.push_back(*one);
    return found;
  }

  // The row of this thread's loop on `epoll`.
  std::optional<ls_loop> row_of(int epoll) const {
    for (uint32_t row : tracer_->used_rows()) {
      auto loop = tracer_->read_row(row);
      if (loop && loop->epoll_fd == epoll && !(loop->flags & LS_LOOP_RELEASED) &&
          loop->tid == static_cast<uint32_t>(syscall(SYS_gettid)))
        return loop;
    }
    return std::nullopt;
  }

  std::unique_ptr<Tracer> tracer_;
  int epoll_ = -1;
};

}  // namespace loopsight
