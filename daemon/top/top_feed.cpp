#include "daemon/top/top_feed.h"

#include <utility>

namespace loopsight {
namespace {

constexpr auto kInterval = std::chrono::seconds(1);

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

TopFeed::TopFeed(std::function<Result<TopSample>()> take)
    : take_(std::move(take)), thread_([this] { run(); }) {}

TopFeed::~TopFeed() {
  {
    std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

TopFeed::Look TopFeed::latest() const {
  std::lock_guard lock(mutex_);
  return look_;
}

void TopFeed::run() {
  for (;;) {
    auto sample = take_();
    std::unique_lock lock(mutex_);
    if (sample) {
      look_.sample = std::move(*sample);
      look_.seconds = now_seconds();
      look_.number++;
      look_.error.clear();
    } else {
      look_.error = sample.error().message;
    }
    if (changed_.wait_for(lock, kInterval, [this] { return stops_; })) return;
  }
}

}  // namespace loopsight
