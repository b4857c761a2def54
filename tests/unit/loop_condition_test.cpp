#include "daemon/totals/loop_condition.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

TEST(LoopCondition, TellsSaturatedFromBlocked) {
  EXPECT_EQ(condition_of({}), LoopCondition::kNotRunning);
  EXPECT_EQ(condition_of({.busy_ns = 5, .idle_ns = 995}), LoopCondition::kIdle);
  EXPECT_EQ(condition_of({.busy_ns = 500, .idle_ns = 500}), LoopCondition::kHealthy);
  EXPECT_EQ(condition_of({.busy_ns = 950, .idle_ns = 50}), LoopCondition::kSaturated);
  EXPECT_EQ(condition_of({.busy_ns = 950, .idle_ns = 50, .over_ns = 900}), LoopCondition::kBlocked);
  // Long iterations, but of many callbacks each.
  EXPECT_EQ(condition_of({.busy_ns = 950, .idle_ns = 50, .over_ns = 900, .ready = 300}),
            LoopCondition::kSaturated);
  EXPECT_EQ(condition_of({.busy_ns = 300, .idle_ns = 700, .over_ns = 200, .ready = 300}),
            LoopCondition::kBlocked);
  // One stall in a long time does not make a loop a blocked one.
  EXPECT_EQ(condition_of({.busy_ns = 30, .idle_ns = 970, .over_ns = 20}), LoopCondition::kHealthy);
}

TEST(LoopCondition, IsBlockedWhileAStallRuns) {
  EXPECT_EQ(condition_of({.idle_ns = 500, .stalled_ns = 100}), LoopCondition::kBlocked);
}

TEST(LoopCondition, AddsUpWhatALoopDid) {
  LoopProgress progress;
  progress.busy[LS_CAUSE_CPU] = 3;
  progress.busy[LS_CAUSE_DISK] = 4;
  progress.idle_ns = 5;
  progress.over_ns = 4;
  progress.ready = 9;
  progress.stalled_ns = 8;
  LoopLoad load;
  load.add(progress);
  progress.ready = 0;  // not known this time
  progress.stalled_ns = 0;
  load.add(progress);
  EXPECT_EQ(load.busy_ns, 14U);
  EXPECT_EQ(load.idle_ns, 10U);
  EXPECT_EQ(load.over_ns, 8U);
  EXPECT_EQ(load.ready, 9U);
  EXPECT_EQ(load.stalled_ns, 0U);
}

}  // namespace
}  // namespace loopsight
