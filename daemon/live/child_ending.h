// How a command that outlives its trace is ended: SIGTERM, which some servers take for "reload",
// then SIGINT, then SIGKILL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace loopsight {

class ChildEnding {
 public:
  // The first signal is due now. Times are CLOCK_MONOTONIC nanoseconds.
  void begin(uint64_t now_ns);
  // The signal to send now; each is given once.
  std::optional<int> due(uint64_t now_ns);
  uint64_t next_ns() const { return next_ns_; }  // UINT64_MAX: none will be due

 private:
  size_t step_ = 0;
  uint64_t next_ns_ = UINT64_MAX;
};

}  // namespace loopsight
