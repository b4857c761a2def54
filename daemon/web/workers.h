// Threads that do what must not hold up the connections' thread, in the order that it is due.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace loopsight {

class Workers {
 public:
  Workers(size_t threads, size_t capacity);
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Runs `task` once CLOCK_MONOTONIC has reached `due_ns`. False, and it never runs, where
  // `capacity` tasks wait already or stop() was called.
  bool post(std::function<void()> task, uint64_t due_ns = 0);
  // Runs what waits at once, due or not, and ends the threads.
  void stop();

 private:
  void work();

  size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<uint64_t, std::function<void()>> tasks_;  // by when they are due
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace loopsight
