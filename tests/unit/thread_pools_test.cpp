#include "daemon/python/thread_pools.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_pools.h"

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
TEST(ThreadPools, TellsThreadsQueueAndWhatTheyDo) {
  PoolProcess process(11, 6, 6, std::vector<uint64_t>(54, 0x4000));
  ThreadPools pools(1, process.python);
  process.look(pools, 1 * kSecond);
  auto seen = process.look(pools, 3 * kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].name, "asyncio");
  EXPECT_EQ(seen[0].threads, 6U);
  EXPECT_EQ(seen[0].busy, 6U);
  EXPECT_EQ(seen[0].max_workers, 6U);
  EXPECT_EQ(seen[0].queued, 54U);
  EXPECT_EQ(seen[0].oldest_wait_ns, 2 * kSecond);
  EXPECT_EQ(seen[0].alike, 6U);
  ASSERT_EQ(seen[0].frames.size(), 2U);
  EXPECT_EQ(seen[0].frames[0].function, "fetch");
  EXPECT_EQ(seen[0].frames[0].file, "/srv/app.py");
}

TEST(ThreadPools, TellsIdleThreadsFromBusyOnes) {
  PoolProcess process(11, 4, 2, {});
  ThreadPools pools(1, process.python);
  auto seen = process.look(pools, kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].threads, 4U);
  EXPECT_EQ(seen[0].busy, 2U);
  EXPECT_EQ(seen[0].queued, 0U);
  EXPECT_TRUE(seen[0].frames.empty());
  // One that counts itself among the idle ones is no busy one.
  process.set_innermost(process.states[0], process.between_frame(process.workers[0]));
  seen = process.look(pools, 2 * kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].busy, 1U);
}

TEST(ThreadPools, SaysNothingOfTheExecutorOnceItHasGone) {
  PoolProcess process(11, 2, 1, {});
  process.memory.word(process.reference_ + 16, process.python.code_type);  // what None is here
  ThreadPools pools(1, process.python);
  auto seen = process.look(pools, kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].threads, 2U);
  EXPECT_FALSE(seen[0].max_workers);
}

TEST(ThreadPools, LeavesThreadsOfNoPoolAloneForAWhile) {
  PoolProcess process(11, 0, 0, {});
  uint64_t main = process.frame(process.code("<module>", "/srv/app.py"), 0);
  process.threads({main});
  ThreadPools pools(1, process.python);
  RemoteMemory first = process.memory.remote();
  EXPECT_TRUE(pools.look(first, kSecond).empty());
  RemoteMemory second = process.memory.remote();
  EXPECT_TRUE(pools.look(second, kSecond + 1000).empty());
  EXPECT_LT(second.reads(), first.reads());
  EXPECT_LE(second.reads(), 6U);
}

TEST(ThreadPools, ForgetsAThreadWhoseMemoryIsAnothersNow) {
  PoolProcess process(11, 2, 0, {});
  ThreadPools pools(1, process.python);
  ASSERT_EQ(process.look(pools, kSecond).size(), 1U);
  uint64_t other = process.code("main", "/srv/app.py");
  for (uint64_t frame : process.workers)
    process.memory.word(frame + process.python.frame_code, other);
  EXPECT_TRUE(process.look(pools, 2 * kSecond).empty());
}

TEST(ThreadPools, SurvivesRingsInListsOfThreadsAndFrames) {
  PoolProcess process(11, 3, 1, {0x4000});
  ThreadPools pools(1, process.python);
  process.memory.word(process.states[2] + process.python.thread_next, process.states[0]);
  auto seen = process.look(pools, kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].threads, 3U);
  // A stack that leads back to itself is never one of a pool.
  PoolProcess other(11, 1, 0, {});
  ThreadPools others(1, other.python);
  other.memory.word(other.workers[0] + other.python.frame_previous, other.workers[0]);
  EXPECT_TRUE(other.look(others, kSecond).empty());
}

TEST(ThreadPools, EndsWithItsReads) {
  PoolProcess process(11, 6, 6, std::vector<uint64_t>(54, 0x4000));
  // Wherever the reads end, or memory is gone, the look ends too.
  for (size_t most = 0; most < 400; most++) {
    ThreadPools pools(1, process.python);
    RemoteMemory memory = process.memory.remote(most);
    auto seen = pools.look(memory, kSecond);
    EXPECT_LE(memory.reads(), most);
    for (const SeenPool& pool : seen) EXPECT_LE(pool.busy, pool.threads);
  }
}

TEST(ThreadPools, SurvivesMemoryThatLies) {
  PoolProcess process(11, 3, 2, {0x4000, 0x5000});
  // Each word that is read becomes garbage in turn.
  for (uint64_t garbage : {uint64_t{0}, uint64_t{0x10000}, UINT64_MAX, uint64_t{1} << 63}) {
    for (size_t wrong = 0; wrong < 300; wrong++) {
      ThreadPools pools(1, process.python);
      RemoteMemory honest = process.memory.remote();
      size_t at = 0;
      RemoteMemory memory(
          [&](uint64_t address, void* buffer, size_t size) {
            if (!honest.read(address, buffer, size)) return false;
            if (at++ == wrong) std::memcpy(buffer, &garbage, std::min(size, sizeof(garbage)));
            return true;
          },
          20'000);
      for (uint64_t look = 1; look <= 2; look++)
        for (const SeenPool& pool : pools.look(memory, look * kSecond))
          ASSERT_LE(pool.busy, pool.threads);
    }
  }
}

}  // namespace
}  // namespace loopsight
