#include "daemon/correlate/cause_times.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

TEST(CauseTimes, DivideTheCpuTimeBetweenUserModeAndTheKernel) {
  __u64 counted[LS_PHASE_CAUSES] = {};
  counted[LS_CAUSE_CPU] = 100;
  counted[LS_CAUSE_DISK] = 7;
  CauseTimes causes = cause_times(counted, 30);
  EXPECT_EQ(causes[LS_CAUSE_CPU], 70U);
  EXPECT_EQ(causes[LS_CAUSE_SYSTEM], 30U);
  EXPECT_EQ(causes[LS_CAUSE_DISK], 7U);
}

TEST(CauseTimes, ATickIsNeverMoreThanThereWas) {
  __u64 counted[LS_PHASE_CAUSES] = {};
  counted[LS_CAUSE_CPU] = 3;
  CauseTimes causes = cause_times(counted, 4'000'000);
  EXPECT_EQ(causes[LS_CAUSE_CPU], 0U);
  EXPECT_EQ(causes[LS_CAUSE_SYSTEM], 3U);
}

}  // namespace
}  // namespace loopsight
