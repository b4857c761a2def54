#include "daemon/sink/sink.h"

#include <unistd.h>

#include <array>
#include <ctime>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

int64_t read_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return clean_text(name.data(), name.size());
}

int64_t WallClock::current_offset_ns() {
  return read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC);
}

uint64_t WallClock::realtime_ns(uint64_t monotonic_ns) const {
  int64_t offset = is_live_ ? current_offset_ns() : offset_ns_;
  return monotonic_ns + static_cast<uint64_t>(offset);  // a recording's may be any number
}

}  // namespace loopsight
