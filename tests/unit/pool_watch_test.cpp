#include "daemon/correlate/pool_watch.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMs = 1'000'000;

SeenPool full(uint64_t wait_ns, uint64_t queued = 54) {
  return {.id = 0x10,
          .name = "asyncio",
          .threads = 6,
          .busy = 6,
          .max_workers = 6,
          .queued = queued,
          .oldest_wait_ns = wait_ns,
          .frames = {{.function = "fetch", .file = "/srv/app.py", .line = 7}},
          .alike = 6};
}

PoolState at(uint64_t time_ns, SeenPool pool) {
  return {.time_ns = time_ns, .tgid = 7, .pools = {std::move(pool)}};
}

TEST(PoolWatch, BeginsWhenAJobHasWaitedForLong) {
  PoolWatch watch;
  EXPECT_TRUE(watch.on_state(at(100 * kSecond, full(0))).saturations.empty());
  EXPECT_TRUE(watch.on_state(at(100 * kSecond + 999 * kMs, full(999 * kMs))).saturations.empty());
  auto found = watch.on_state(at(101 * kSecond, full(kSecond)));
  ASSERT_EQ(found.saturations.size(), 1U);
  const Saturation& one = found.saturations[0];
  EXPECT_TRUE(one.in_progress);
  EXPECT_EQ(one.start_ns, 100 * kSecond);
  EXPECT_EQ(one.duration_ns(), kSecond);
  EXPECT_EQ(one.pool.busy, 6U);
  EXPECT_EQ(one.pool.queued, 54U);
  EXPECT_EQ(found.progress->saturated_ns, kSecond);
  EXPECT_EQ(found.progress->busy, 6U);
  EXPECT_EQ(found.progress->idle, 0U);
  EXPECT_EQ(found.progress->queued, 54U);
}

TEST(PoolWatch, ReportsAgainAtEachDoublingAndAtTheEnd) {
  PoolWatch watch;
  std::vector<uint64_t> reported;
  uint64_t saturated = 0;
  for (uint64_t second = 0; second <= 45; second++) {
    auto found = watch.on_state(at((100 + second) * kSecond, full(second * kSecond, 99 - second)));
    saturated += found.progress->saturated_ns;
    for (const Saturation& one : found.saturations) {
      EXPECT_TRUE(one.in_progress);
      reported.push_back(one.duration_ns() / kSecond);
    }
  }
  EXPECT_EQ(reported, (std::vector<uint64_t>{1, 10, 20, 40}));
  auto found = watch.on_state(at(146 * kSecond, full(0, 0)));
  saturated += found.progress->saturated_ns;
  ASSERT_EQ(found.saturations.size(), 1U);
  EXPECT_FALSE(found.saturations[0].in_progress);
  EXPECT_EQ(found.saturations[0].duration_ns(), 46 * kSecond);
  EXPECT_EQ(found.saturations[0].pool.queued, 98U);  // the longest since it was found
  EXPECT_EQ(found.saturations[0].pool.oldest_wait_ns, 45 * kSecond);
  EXPECT_EQ(found.saturations[0].pool.frames.size(), 1U);
  EXPECT_EQ(saturated, 46 * kSecond);
}

TEST(PoolWatch, KnowsAPoolThatMayGrow) {
  PoolWatch watch;
  SeenPool pool = full(5 * kSecond);
  pool.max_workers = 7;
  EXPECT_TRUE(watch.on_state(at(100 * kSecond, pool)).saturations.empty());
  pool.max_workers.reset();  // not known: it is full when all are busy
  EXPECT_EQ(watch.on_state(at(101 * kSecond, pool)).saturations.size(), 1U);
}

TEST(PoolWatch, TakesAThreadBetweenTwoJobsForNoIdleOne) {
  PoolWatch watch;
  watch.on_state(at(101 * kSecond, full(kSecond)));
  SeenPool pool = full(2 * kSecond);
  pool.busy = 5;
  EXPECT_TRUE(watch.on_state(at(102 * kSecond, pool)).saturations.empty());
  EXPECT_TRUE(watch.on_state(at(103 * kSecond, full(3 * kSecond))).saturations.empty());
  EXPECT_TRUE(watch.on_state(at(104 * kSecond, pool)).saturations.empty());
  auto found = watch.on_state(at(105 * kSecond, pool));
  ASSERT_EQ(found.saturations.size(), 1U);
  EXPECT_FALSE(found.saturations[0].in_progress);
}

TEST(PoolWatch, LearnsNothingFromALookThatCouldNotReadTheQueue) {
  PoolWatch watch;
  watch.on_state(at(101 * kSecond, full(kSecond)));
  SeenPool pool = full(0);
  pool.queued.reset();
  EXPECT_TRUE(watch.on_state(at(102 * kSecond, pool)).saturations.empty());
  EXPECT_EQ(watch.on_state(at(103 * kSecond, full(3 * kSecond))).progress->saturated_ns,
            2 * kSecond);
}

TEST(PoolWatch, EndsWithThePoolAndWithTheProcess) {
  PoolWatch watch;
  watch.on_state(at(101 * kSecond, full(kSecond)));
  auto found = watch.on_state({.time_ns = 102 * kSecond, .tgid = 7});
  ASSERT_EQ(found.saturations.size(), 1U);
  EXPECT_EQ(found.saturations[0].end_ns, 101 * kSecond);
  EXPECT_TRUE(found.progress->ended);

  watch.on_state(at(201 * kSecond, full(kSecond)));
  found = watch.on_exit(7, 202 * kSecond);
  ASSERT_EQ(found.saturations.size(), 1U);
  EXPECT_EQ(found.saturations[0].end_ns, 202 * kSecond);
  EXPECT_EQ(found.progress->saturated_ns, kSecond);
  EXPECT_TRUE(found.progress->ended);
  EXPECT_TRUE(watch.on_exit(7, 203 * kSecond).saturations.empty());
}

TEST(PoolWatch, SurvivesTimesThatRunBackwards) {
  PoolWatch watch;
  watch.on_state(at(101 * kSecond, full(kSecond)));
  auto found = watch.on_state(at(5 * kSecond, full(2 * kSecond)));
  EXPECT_EQ(found.progress->saturated_ns, 0U);
  for (const Saturation& one : watch.on_exit(7, 1).saturations) EXPECT_GE(one.end_ns, one.start_ns);
}

TEST(PoolWatch, AWaitPastAnyUptimeEnds) {
  PoolWatch watch;
  auto found = watch.on_state(at(UINT64_MAX - kSecond, full(UINT64_MAX - 2 * kSecond)));
  EXPECT_EQ(found.saturations.size(), 1U);
}

}  // namespace
}  // namespace loopsight
