// Which stacks a stall gets.
#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/correlate/timeline.h"
#include "tests/unit/timeline_fixture.h"

namespace loopsight {
namespace {

StackSeen stack(uint32_t source, uint64_t slice_start_ns, uint64_t slice_ns,
                uint64_t phase_start_ms) {
  StackSeen event{};
  event.record.row = 1;
  event.record.generation = 1;
  event.record.phase_start_ns = phase_start_ms * kMs;
  event.record.source = source;
  event.record.slice_start_ns = slice_start_ns;
  event.record.slice_ns = slice_ns;
  return event;
}

TEST_F(TimelineTest, GivesAStallTheStacksOfItsOwnBusyPhase) {
  timeline_.on_stack(stack(LS_STACK_OF_SAMPLE, 0, 1, 10));
  timeline_.on_stack(stack(LS_STACK_OF_SAMPLE, 0, 1, 100));
  EXPECT_EQ(timeline_.on_stall(stall(100, 250)).stalls.at(0).samples.size(), 1U);
  EXPECT_TRUE(timeline_.on_stall(stall(300, 450)).stalls.at(0).samples.empty());
}

TEST_F(TimelineTest, KeepsOneStackOfAWaitThatIsToldTwice) {
  timeline_.on_stack(stack(LS_STACK_OF_WAIT, 120 * kMs, 0, 100));
  timeline_.on_stack(stack(LS_STACK_OF_WAIT, 120 * kMs, 60 * kMs, 100));
  timeline_.on_stack(stack(LS_STACK_OF_WAIT, 190 * kMs, 5 * kMs, 100));
  auto samples = timeline_.on_stall(stall(100, 250)).stalls.at(0).samples;
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[0].slice_ns, 60 * kMs);
}

TEST_F(TimelineTest, ThinsSamplesOutWithoutLosingTheirWeight) {
  for (int i = 0; i < 5000; i++) timeline_.on_stack(stack(LS_STACK_OF_SAMPLE, 0, 10, 100));
  auto samples = timeline_.on_stall(stall(100, 250)).stalls.at(0).samples;
  EXPECT_LE(samples.size(), 200U);
  EXPECT_GE(samples.size(), 50U);
  uint64_t weight = 0;
  for (const StackSample& sample : samples) weight += sample.slice_ns;
  EXPECT_EQ(weight, 50000U);
}

TEST_F(TimelineTest, KeepsTheLongestWaitsOfManyAndABoundedNumber) {
  for (uint64_t i = 0; i < 5000; i++)
    timeline_.on_stack(stack(LS_STACK_OF_WAIT, 1000 + i, i == 7 ? 9 * kMs : 1, 100));
  auto samples = timeline_.on_stall(stall(100, 250)).stalls.at(0).samples;
  EXPECT_LE(samples.size(), 200U);
  EXPECT_TRUE(std::any_of(samples.begin(), samples.end(),
                          [](const StackSample& one) { return one.slice_ns == 9 * kMs; }));
}

}  // namespace
}  // namespace loopsight
