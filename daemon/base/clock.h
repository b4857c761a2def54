// The clock of all times inside: CLOCK_MONOTONIC, which is that of bpf_ktime_get_ns too.
#pragma once

#include <cstdint>
#include <ctime>

namespace loopsight {

inline uint64_t monotonic_now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace loopsight
