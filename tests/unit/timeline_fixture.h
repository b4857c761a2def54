// Events of one made-up loop, and a timeline that knows it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>

#include "daemon/correlate/timeline.h"

namespace loopsight {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kThreshold = 50 * kMs;

inline uint64_t sum(const CauseTimes& causes) {
  return std::accumulate(causes.begin(), causes.end(), uint64_t{0});
}

inline PollerSeen poller(uint32_t row = 1, uint32_t generation = 1) {
  PollerSeen event{};
  event.record.header = {.kind = LS_KIND_POLLER, .size = 0, .time_ns = 0, .tgid = 10, .tid = 11};
  event.record.row = row;
  event.record.generation = generation;
  return event;
}

inline LoopVerdict verdict(bool is_loop, uint32_t row = 1, uint32_t generation = 1) {
  return {.time_ns = 1,
          .row = row,
          .generation = generation,
          .is_loop = is_loop,
          .kind = LoopKind::kAsyncio};
}

inline StallEnded stall(uint64_t start_ms, uint64_t end_ms, uint32_t generation = 1) {
  StallEnded event{};
  event.record.header.tgid = 10;
  event.record.header.tid = 11;
  event.record.row = 1;
  event.record.generation = generation;
  event.record.start_ns = start_ms * kMs;
  event.record.end_ns = end_ms * kMs;
  event.record.phase_ns[LS_CAUSE_SLEEP] = (end_ms - start_ms) * kMs;
  return event;
}

inline LoopState state(uint64_t now_ms, uint32_t phase, uint64_t phase_start_ms) {
  LoopState event;
  event.time_ns = now_ms * kMs;
  event.row = 1;
  event.loop.generation = 1;
  event.loop.flags = LS_LOOP_USED | LS_LOOP_ACCEPTED;
  event.loop.tgid = 10;
  event.loop.tid = 11;
  event.loop.phase = phase;
  event.loop.phase_start_ns = phase_start_ms * kMs;
  event.loop.slice_start_ns = phase_start_ms * kMs;
  return event;
}

inline LoopEnded end(uint64_t now_ms, uint32_t exit_code = 0, bool open = true) {
  LoopEnded event{};
  event.record.header.time_ns = now_ms * kMs;
  event.record.row = 1;
  event.record.generation = 1;
  event.record.reason = LS_END_THREAD_EXIT;
  event.record.exit_code = exit_code;
  event.record.open = open;
  return event;
}

class TimelineTest : public testing::Test {
 protected:
  void SetUp() override {
    timeline_.on_poller(poller());
    timeline_.on_verdict(verdict(true));
  }
  Timeline timeline_{kThreshold};
};

}  // namespace loopsight
