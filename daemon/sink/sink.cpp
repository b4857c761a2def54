#include "daemon/sink/sink.h"

#include <ctime>

namespace loopsight {
namespace {

int64_t read_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

int64_t WallClock::current_offset_ns() {
  return read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC);
}

uint64_t WallClock::realtime_ns(uint64_t monotonic_ns) const {
  int64_t offset = is_live_ ? current_offset_ns() : offset_ns_;
  return static_cast<uint64_t>(static_cast<int64_t>(monotonic_ns) + offset);
}

}  // namespace loopsight
