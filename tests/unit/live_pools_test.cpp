#include "daemon/live/live_pools.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "tests/unit/fake_pools.h"

namespace loopsight {
namespace {

// Longer than any time that a look may put the next one off for its cost on a slow machine.
constexpr uint64_t kLater = 1'000'000'000'000;

// What is read belongs to the test, so it may not be left behind.
std::shared_ptr<BoundedReads> patient() {
  constexpr std::chrono::hours kLong(1);
  return std::make_shared<BoundedReads>(BoundedReads::Limits{.patience = kLong, .budget = kLong});
}

class LivePoolsTest : public testing::Test {
 protected:
  LivePools watching(PoolProcess& process) {
    LivePools pools("/nonexistent", patient(), "/nonexistent", [&](uint32_t, size_t most_reads) {
      opened_++;
      return process.memory.remote(std::min(most_reads, most_));
    });
    pools.watch(7, process.python);
    return pools;
  }
  size_t opened_ = 0;
  size_t most_ = SIZE_MAX;
};

TEST_F(LivePoolsTest, TellsWhatIsNewOnly) {
  PoolProcess process(11, 2, 0, {});
  LivePools pools = watching(process);
  auto found = pools.look(1 * kLater);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].tgid, 7U);
  EXPECT_EQ(found[0].time_ns, kLater);
  ASSERT_EQ(found[0].pools.size(), 1U);
  EXPECT_EQ(found[0].pools[0].busy, 0U);
  EXPECT_TRUE(pools.look(2 * kLater).empty());
  process.set_innermost(process.states[0], process.busy_frame(process.workers[0]));
  found = pools.look(3 * kLater);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pools[0].busy, 1U);
  process.threads({});  // they have ended
  found = pools.look(4 * kLater);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].pools.empty());
  EXPECT_TRUE(pools.look(5 * kLater).empty());
}

TEST_F(LivePoolsTest, LooksNoSoonerThanItIsTime) {
  PoolProcess process(11, 2, 0, {});
  LivePools pools = watching(process);
  pools.look(kLater);
  for (uint64_t ms = 1; ms < 1000; ms += 50) pools.look(kLater + ms * 1'000'000);
  EXPECT_EQ(opened_, 1U);
  pools.look(2 * kLater);
  EXPECT_EQ(opened_, 2U);
}

TEST_F(LivePoolsTest, LooksLessOftenWhereThereIsNoPool) {
  PoolProcess process(11, 2, 0, {});
  process.threads({});
  LivePools pools = watching(process);
  uint64_t second = 100 * kLater;
  for (int i = 0; i < 100; i++) pools.look(kLater + i * second);
  EXPECT_EQ(opened_, 100U);
  uint64_t now_ns = kLater + 100 * second;
  pools.look(now_ns);
  pools.look(now_ns + 4'000'000'000);
  EXPECT_EQ(opened_, 101U);
  pools.look(now_ns + second);
  EXPECT_EQ(opened_, 102U);
}

TEST_F(LivePoolsTest, DoesNotTellWhatItCouldReadInPartOnly) {
  PoolProcess process(11, 6, 6, {0x4000});
  LivePools pools = watching(process);
  most_ = 60;  // the first look has to find out what each thread is
  EXPECT_TRUE(pools.look(kLater).empty());
  most_ = SIZE_MAX;
  auto found = pools.look(2 * kLater);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pools[0].threads, 6U);
}

TEST_F(LivePoolsTest, ForgetsAProcess) {
  PoolProcess process(11, 2, 0, {});
  LivePools pools = watching(process);
  pools.forget(7);
  EXPECT_TRUE(pools.look(kLater).empty());
  EXPECT_EQ(opened_, 0U);
}

}  // namespace
}  // namespace loopsight
