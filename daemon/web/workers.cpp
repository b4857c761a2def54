#include "daemon/web/workers.h"

#include <chrono>
#include <utility>

namespace loopsight {
namespace {

// CLOCK_MONOTONIC.
std::chrono::steady_clock::time_point time_of(uint64_t ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns));
}

}  // namespace

Workers::Workers(size_t threads, size_t capacity) : capacity_(capacity) {
  for (size_t i = 0; i < threads; i++) threads_.emplace_back([this] { work(); });
}

bool Workers::post(std::function<void()> task, uint64_t due_ns) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || tasks_.size() >= capacity_) return false;
    tasks_.emplace(due_ns, std::move(task));
  }
  changed_.notify_one();
  return true;
}

void Workers::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Workers::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (tasks_.empty()) {
      if (stopping_) return;
      changed_.wait(lock);
      continue;
    }
    auto first = tasks_.begin();
    if (!stopping_ && time_of(first->first) > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, time_of(first->first));
      continue;
    }
    auto task = std::move(first->second);
    tasks_.erase(first);
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

}  // namespace loopsight
