#include "daemon/probe/cost_sampler.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

std::vector<ProgramCost> sums(uint64_t runs) {
  return {{.name = "sched_switch", .runs = runs, .run_time_ns = runs * 100}};
}

TEST(CostSampler, IsExactInTheFirstWindow) {
  CostSampler sampler(sums(5), 0);
  EXPECT_TRUE(sampler.is_open());
  EXPECT_EQ(sampler.costs(sums(12))[0].runs, 7U);
  EXPECT_EQ(sampler.costs(sums(12))[0].run_time_ns, 700U);
  EXPECT_FALSE(sampler.is_due(kSecond - 1));
  EXPECT_TRUE(sampler.is_due(kSecond));
}

TEST(CostSampler, AWindowStandsForTheTimeSinceTheOneBefore) {
  CostSampler sampler(sums(0), 0);
  sampler.turn(sums(10), kSecond);
  EXPECT_FALSE(sampler.is_open());
  EXPECT_FALSE(sampler.is_due(15 * kSecond));
  EXPECT_TRUE(sampler.is_due(16 * kSecond));
  // Whatever somebody else's statistics counted meanwhile is not taken twice.
  EXPECT_EQ(sampler.costs(sums(500))[0].runs, 10U);
  EXPECT_EQ(sampler.costs()[0].runs, 10U);
  sampler.turn(sums(500), 16 * kSecond);
  EXPECT_TRUE(sampler.is_open());
  EXPECT_EQ(sampler.costs(sums(520))[0].runs, 30U);
  sampler.turn(sums(520), 17 * kSecond);
  EXPECT_EQ(sampler.costs(sums(520))[0].runs, 10U + 20 * 16);
  EXPECT_EQ(sampler.costs(sums(520))[0].run_time_ns, 1000U + 2000 * 16);
}

TEST(CostSampler, NeverFalls) {
  CostSampler sampler(sums(100), 0);
  sampler.turn(sums(110), kSecond);
  EXPECT_EQ(sampler.costs(sums(3))[0].runs, 10U);  // the program was loaded anew
  sampler.turn(sums(3), 16 * kSecond);
  sampler.turn(sums(2), 16 * kSecond);  // a clock that stands still
  EXPECT_EQ(sampler.costs(sums(2))[0].runs, 10U);
}

}  // namespace
}  // namespace loopsight
