// The stalls of the last minutes, as a profile of any part of them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "daemon/profile/stall_profile.h"
#include "daemon/sink/sink.h"

namespace loopsight {

struct WindowLimits {
  uint64_t keep_ns = 600'000'000'000;
  size_t bytes = 16 << 20;
};

class ProfileWindow : public Sink {
 public:
  explicit ProfileWindow(WallClock clock, WindowLimits limits = {})
      : clock_(clock), limits_(limits) {}

  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_summary(const Summary&) override { return {}; }

  // A gzipped profile of the stalls that ended after `from_ns` and up to `to_ns`, CLOCK_MONOTONIC.
  // Where not all of that is kept, its start is later and a comment in it says so. Errors: see
  // pprof(). From any thread.
  Result<std::string> pprof(uint64_t from_ns, uint64_t to_ns) const;

  uint64_t keep_ns() const { return limits_.keep_ns; }

 private:
  WallClock clock_;
  WindowLimits limits_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const ProfiledStall>> stalls_;  // in the order of their reports
  size_t bytes_ = 0;
  uint64_t dropped_end_ns_ = 0;  // of the newest stall that had to go for its size
};

}  // namespace loopsight
