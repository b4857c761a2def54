#include "daemon/web/login_queue.h"

#include <chrono>
#include <utility>

namespace loopsight {
namespace {

constexpr uint64_t kEndOfTimeNs = UINT64_MAX / 2;

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC

uint64_t now_ns() { return static_cast<uint64_t>(Clock::now().time_since_epoch().count()); }

}  // namespace

bool LoginQueue::post(const std::string& address, const std::string& user,
                      LoginOrder::Check check) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || !order_.push(address, user, std::move(check))) return false;
  }
  changed_.notify_one();
  return true;
}

uint64_t LoginQueue::failed(const std::string& address) {
  std::lock_guard lock(mutex_);
  return order_.failed(address, now_ns());
}

void LoginQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LoginQueue::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_ || order_.size() > 0) {
    auto check = order_.take(stopping_ ? kEndOfTimeNs : now_ns());
    if (check) {
      lock.unlock();
      (*check)();
      check.reset();
      lock.lock();
    } else if (auto due = order_.due_ns()) {
      changed_.wait_until(lock, Clock::time_point(std::chrono::nanoseconds(*due)));
    } else {
      changed_.wait(lock);
    }
  }
}

}  // namespace loopsight
