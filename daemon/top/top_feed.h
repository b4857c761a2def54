// Samples once a second, taken on a thread of its own, so that a daemon that does not answer does
// not hold up the keys.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "daemon/base/result.h"
#include "daemon/top/top_sample.h"

namespace loopsight {

class TopFeed {
 public:
  struct Look {
    uint64_t number = 0;  // of looks that went well; 0: none yet
    double seconds = 0;   // when
    TopSample sample;
    std::string error;  // of the newest, "" where it went well
  };

  // `take` is called on the feed's thread.
  explicit TopFeed(std::function<Result<TopSample>()> take);
  ~TopFeed();
  TopFeed(const TopFeed&) = delete;
  TopFeed& operator=(const TopFeed&) = delete;

  Look latest() const;

 private:
  void run();

  std::function<Result<TopSample>()> take_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Look look_;
  bool stops_ = false;
  std::thread thread_;
};

}  // namespace loopsight
