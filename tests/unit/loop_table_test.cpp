#include "daemon/totals/loop_table.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

LoopProgress progress(uint32_t row, uint64_t busy_ns, uint64_t idle_ns) {
  LoopProgress one{.loop = {row, 1}, .tgid = 10, .tid = 10 + row, .kind = LoopKind::kAsyncio};
  one.iterations = 5;
  one.busy[LS_CAUSE_CPU] = busy_ns;
  one.idle_ns = idle_ns;
  return one;
}

TEST(LoopTableTest, AddsUpAndOrders) {
  LoopTable table;
  table.on_progress(progress(2, kSecond, 0), {.workload = "b"}, kSecond);
  table.on_progress(progress(1, 0, kSecond), {.workload = "a", .worker = 3}, kSecond);
  table.on_progress(progress(2, kSecond, kSecond), {.workload = "b"}, 2 * kSecond);
  auto lines = table.lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].process.worker, 3U);
  EXPECT_EQ(lines[1].iterations, 10U);
  EXPECT_EQ(lines[1].busy[LS_CAUSE_CPU], 2 * kSecond);
  EXPECT_EQ(lines[1].tid, 12U);
}

TEST(LoopTableTest, UtilisationIsOfTheLastSeconds) {
  LoopTable table;
  table.on_progress(progress(1, 0, 0), {}, kSecond);
  EXPECT_FALSE(table.lines()[0].utilisation);
  table.on_progress(progress(1, kSecond / 4, 3 * kSecond / 4), {}, 2 * kSecond);
  EXPECT_DOUBLE_EQ(*table.lines()[0].utilisation, 0.25);
  for (uint64_t i = 3; i < 30; i++) table.on_progress(progress(1, kSecond, 0), {}, i * kSecond);
  EXPECT_DOUBLE_EQ(*table.lines()[0].utilisation, 1.0);
}

TEST(LoopTableTest, TellsBlockedFromSaturated) {
  LoopTable table;
  auto look = [&](uint64_t second, uint64_t busy_ns, uint64_t over_ns, uint32_t ready) {
    auto one = progress(1, busy_ns, kSecond - busy_ns);
    one.over_ns = over_ns;
    one.ready = ready;
    one.threshold_ns = kSecond / 20;
    table.on_progress(one, {}, second * kSecond);
  };
  for (uint64_t i = 1; i < 20; i++) look(i, 0, 0, 0);
  EXPECT_EQ(table.lines()[0].condition, LoopCondition::kIdle);
  EXPECT_EQ(table.lines()[0].threshold_ns, kSecond / 20);
  for (uint64_t i = 20; i < 40; i++) look(i, kSecond / 2, kSecond / 2, 1);
  EXPECT_EQ(table.lines()[0].condition, LoopCondition::kBlocked);
  for (uint64_t i = 40; i < 60; i++) look(i, kSecond / 2, 0, 1);
  EXPECT_EQ(table.lines()[0].condition, LoopCondition::kHealthy);
  for (uint64_t i = 60; i < 80; i++) look(i, kSecond, 0, 300);
  EXPECT_EQ(table.lines()[0].condition, LoopCondition::kSaturated);
}

TEST(LoopTableTest, ARunningStallIsBusyTime) {
  LoopTable table;
  table.on_progress(progress(1, 0, 0), {}, kSecond);
  auto stalled = progress(1, kSecond, kSecond);  // what passed of it is in the sums already
  stalled.stalled_ns = kSecond;
  table.on_progress(stalled, {}, 3 * kSecond);
  EXPECT_DOUBLE_EQ(*table.lines()[0].utilisation, 0.5);
  EXPECT_EQ(table.lines()[0].stalled_ns, kSecond);
  table.on_progress(progress(1, 0, 0), {}, 3 * kSecond);
  EXPECT_DOUBLE_EQ(*table.lines()[0].utilisation, 0.5);
}

TEST(LoopTableTest, CountsStallsOnceAndForgetsWhatEnded) {
  LoopTable table;
  table.on_progress(progress(1, 0, 0), {}, kSecond);
  StallReport report;
  report.stall.loop = {1, 1};
  report.stall.in_progress = true;
  table.on_stall(report);
  report.stall.in_progress = false;
  table.on_stall(report);
  EXPECT_EQ(table.lines()[0].stalls, 1U);
  auto end = progress(1, 0, 0);
  end.ended = true;
  table.on_progress(end, {}, 2 * kSecond);
  table.on_stall(report);
  EXPECT_TRUE(table.lines().empty());
}

}  // namespace
}  // namespace loopsight
