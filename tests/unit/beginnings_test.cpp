#include "daemon/live/beginnings.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(Beginnings, LooksAFewTimesAfterAnExec) {
  Beginnings begun;
  EXPECT_EQ(begun.next_ns(), UINT64_MAX);
  begun.on_exec(7, 100 * kMs);
  EXPECT_EQ(begun.next_ns(), 103 * kMs);
  EXPECT_TRUE(begun.due(102 * kMs).empty());
  EXPECT_EQ(begun.due(103 * kMs), std::vector<uint32_t>{7});
  EXPECT_TRUE(begun.due(103 * kMs).empty());
  EXPECT_EQ(begun.next_ns(), 110 * kMs);
  // Late: once, not for each look that was missed.
  EXPECT_EQ(begun.due(200 * kMs), std::vector<uint32_t>{7});
  EXPECT_EQ(begun.next_ns(), 350 * kMs);
  EXPECT_EQ(begun.due(400 * kMs), std::vector<uint32_t>{7});
  EXPECT_EQ(begun.next_ns(), UINT64_MAX);
}

TEST(Beginnings, ForgetsWhatHasEndedOrIsKnown) {
  Beginnings begun;
  begun.on_exec(7, 0);
  begun.on_exec(8, 0);
  begun.on_exit(7);
  EXPECT_EQ(begun.due(3 * kMs), std::vector<uint32_t>{8});
  begun.settle(8);
  EXPECT_TRUE(begun.due(kMs * 1000).empty());
}

TEST(Beginnings, BeginsAnewAtAnotherExec) {
  Beginnings begun;
  begun.on_exec(7, 0);
  (void)begun.due(30 * kMs);
  begun.on_exec(7, 50 * kMs);
  EXPECT_EQ(begun.next_ns(), 53 * kMs);
}

TEST(Beginnings, KeepsABoundedNumber) {
  Beginnings begun;
  for (uint32_t i = 0; i < Beginnings::kMost + 10; i++) begun.on_exec(i + 1, 0);
  EXPECT_EQ(begun.due(3 * kMs).size(), Beginnings::kMost);
}

}  // namespace
}  // namespace loopsight
