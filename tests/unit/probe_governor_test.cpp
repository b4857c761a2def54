#include "daemon/live/probe_governor.h"

#include <gtest/gtest.h>

#include "daemon/live/audit_budget.h"

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kWindow = ProbeGovernor::kWindowNs;
using Costs = std::array<uint64_t, LS_GROUPS>;

TEST(ProbeGovernor, LetsCheapProbesBe) {
  ProbeGovernor governor(0.01);
  Costs costs{};
  for (uint64_t now = kSecond; now < 100 * kSecond; now += kSecond) {
    costs[LS_GROUP_GC] += kSecond / 200;
    EXPECT_TRUE(governor.on_costs(costs, now).empty());
  }
}

TEST(ProbeGovernor, DoesNotHoldWhatWasBeforeAgainstThem) {
  ProbeGovernor governor(0.01);
  EXPECT_TRUE(governor.on_costs({1000 * kSecond, 0, 0, 0}, kSecond).empty());
  EXPECT_TRUE(governor.on_costs({1000 * kSecond, 0, 0, 0}, kSecond + kWindow).empty());
}

TEST(ProbeGovernor, ShedsTheDearestFirstAndThenTheNext) {
  ProbeGovernor governor(0.01);
  governor.on_costs({}, kSecond);
  auto first = governor.on_costs({kWindow / 50, 0, kWindow / 10, 0}, kSecond + kWindow);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].group, LS_GROUP_AUDIT);
  EXPECT_FALSE(first[0].attach);
  EXPECT_NEAR(first[0].share, 0.1, 1e-9);
  EXPECT_TRUE(governor.is_shed(LS_GROUP_AUDIT));
  EXPECT_FALSE(governor.is_shed(LS_GROUP_GC));
  auto second = governor.on_costs({2 * kWindow / 50, 0, kWindow / 10, 0}, kSecond + 2 * kWindow);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].group, LS_GROUP_GC);
}

TEST(ProbeGovernor, RestoresAfterAPauseThatDoubles) {
  ProbeGovernor governor(0.01);
  Costs costs{};
  uint64_t now = kSecond;
  uint64_t expected = ProbeGovernor::kFirstPauseNs;
  governor.on_costs(costs, now);
  for (int round = 0; round < 6; round++) {
    costs[LS_GROUP_GC] += kWindow;
    auto shed = governor.on_costs(costs, now += kWindow);
    ASSERT_EQ(shed.size(), 1U);
    EXPECT_EQ(shed[0].until_ns - now, expected);
    now += expected - kWindow;
    EXPECT_TRUE(governor.on_costs(costs, now).empty());
    auto restored = governor.on_costs(costs, now += kWindow);
    ASSERT_EQ(restored.size(), 1U);
    EXPECT_TRUE(restored[0].attach);
    EXPECT_FALSE(governor.is_shed(LS_GROUP_GC));
    expected = std::min(2 * expected, uint64_t{ProbeGovernor::kLongestPauseNs});
  }
}

TEST(ProbeGovernor, TrustsOneThatBehavedAgain) {
  ProbeGovernor governor(0.01);
  Costs costs{};
  uint64_t now = kSecond;
  governor.on_costs(costs, now);
  costs[LS_GROUP_GC] += kWindow;
  governor.on_costs(costs, now += kWindow);
  governor.on_costs(costs, now += ProbeGovernor::kFirstPauseNs);
  governor.on_costs(costs, now += ProbeGovernor::kLongestPauseNs + kWindow);
  costs[LS_GROUP_GC] += kWindow;
  auto shed = governor.on_costs(costs, now += kWindow);
  ASSERT_EQ(shed.size(), 1U);
  EXPECT_EQ(shed[0].until_ns - now, uint64_t{ProbeGovernor::kFirstPauseNs});
}

TEST(AuditBudget, NamesTheProcessWhoseEventsCostTooMuchOfItsCpuTime) {
  AuditBudget budget(0.01);
  uint64_t busy_cpu = 0;
  auto cpu = [&](uint32_t tgid) -> std::optional<uint64_t> {
    if (tgid == 3) return std::nullopt;  // gone
    return tgid == 1 ? busy_cpu : 1'000'000;
  };
  EXPECT_TRUE(budget.on_hits({{1, 0}, {2, 0}}, 5000, cpu, kSecond).empty());
  busy_cpu = 2 * kSecond;
  // 1: 10,000 events of 5 us in two seconds are 2.5 % of its time; 2 costs nearly nothing.
  auto found = budget.on_hits({{1, 10000}, {2, 100}, {3, 50000}}, 5000, cpu, 3 * kSecond);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].tgid, 1U);
  EXPECT_DOUBLE_EQ(found[0].events_per_second, 5000);
  EXPECT_DOUBLE_EQ(found[0].share, 0.025);
}

TEST(AuditBudget, LooksAtWindowsAndLetsTheFirstLookPass) {
  AuditBudget budget(0.01);
  auto cpu = [](uint32_t) { return std::optional<uint64_t>(1); };
  EXPECT_TRUE(budget.on_hits({{1, 1'000'000}}, 5000, cpu, kSecond).empty());
  EXPECT_TRUE(budget.on_hits({{1, 2'000'000}}, 5000, cpu, kSecond + 1).empty());
  EXPECT_EQ(budget.on_hits({{1, 3'000'000}}, 5000, cpu, kSecond + AuditBudget::kWindowNs).size(),
            1U);
}

}  // namespace
}  // namespace loopsight
