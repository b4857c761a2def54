// The thread that checks passwords, in the order of LoginOrder.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "daemon/web/login_order.h"

namespace loopsight {

class LoginQueue {
 public:
  LoginQueue() : thread_([this] { work(); }) {}
  ~LoginQueue() { stop(); }
  LoginQueue(const LoginQueue&) = delete;
  LoginQueue& operator=(const LoginQueue&) = delete;

  // False, and it never runs, where as many wait as may or stop() was called.
  bool post(const std::string& address, const std::string& user, LoginOrder::Check check);
  // See LoginOrder.
  uint64_t failed(const std::string& address);
  // Runs what waits at once, due or not, and ends the thread.
  void stop();

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  LoginOrder order_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace loopsight
