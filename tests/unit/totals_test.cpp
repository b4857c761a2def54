#include "daemon/totals/totals.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

LoopProgress progress(uint32_t row, uint64_t iterations) {
  LoopProgress one{.loop = {row, 1}, .tgid = row, .tid = row, .kind = LoopKind::kAsyncio};
  one.iterations = iterations;
  one.buckets[0] = iterations;
  one.busy[LS_CAUSE_CPU] = iterations * 10;
  return one;
}

WorkloadProcess process(const std::string& name, uint32_t worker = 0) {
  return {.workload = name, .worker = worker, .python = "3.11.2"};
}

StallReport report(const std::string& name, uint32_t cause, const std::string& function = "") {
  StallReport one{.process = process(name), .cause = cause};
  one.stall.start_ns = 100;
  one.stall.end_ns = 300;
  if (!function.empty()) one.culprit = Frame{.function = function, .module = "app"};
  return one;
}

TEST(Totals, AddsUpByWorkloadAndWorker) {
  Totals totals;
  totals.on_progress(progress(1, 5), process("a", 0), 10);
  totals.on_progress(progress(1, 7), process("a", 0), 20);
  totals.on_progress(progress(2, 3), process("a", 1), 20);
  const auto& workload = totals.workloads().at("a");
  EXPECT_EQ(workload.workers.at(0).iterations, 12U);
  EXPECT_EQ(workload.workers.at(1).iterations, 3U);
  EXPECT_EQ(workload.loops.at({"asyncio", "3.11.2"}), 2U);
}

TEST(Totals, KeepsTheSumsOfALoopThatEnded) {
  Totals totals;
  totals.on_progress(progress(1, 5), process("a"), 10);
  LoopProgress last = progress(1, 1);
  last.ended = true;
  totals.on_progress(last, process("a"), 20);
  EXPECT_EQ(totals.workloads().at("a").workers.at(0).iterations, 6U);
  EXPECT_EQ(totals.workloads().at("a").loops.at({"asyncio", "3.11.2"}), 0U);
  EXPECT_EQ(totals.loops(), 0U);
}

TEST(Totals, DropsAWorkloadFiveMinutesAfterItsLastLoop) {
  constexpr uint64_t kMinute = 60'000'000'000;
  Totals totals;
  totals.on_progress(progress(1, 5), process("alive"), 1);
  LoopProgress gone = progress(2, 5);
  gone.ended = true;
  totals.on_progress(gone, process("gone"), 1);
  totals.on_tick(5 * kMinute);
  EXPECT_EQ(totals.workloads().size(), 2U);
  totals.on_tick(5 * kMinute + 2);
  EXPECT_EQ(totals.workloads().size(), 1U);
  EXPECT_TRUE(totals.workloads().contains("alive"));
}

TEST(Totals, FoldsWhatIsOverTheLimits) {
  Totals totals({.workloads = 2, .workers = 2, .culprits = 2, .keep_ns = 1});
  for (uint32_t i = 1; i <= 4; i++) {
    totals.on_progress(progress(i, 1), process("w" + std::to_string(i)), 1);
    totals.on_progress(progress(10 + i, 1), process("w1", i), 1);
  }
  EXPECT_EQ(totals.workloads().size(), 3U);
  EXPECT_EQ(totals.workloads().at("other").workers.at(0).iterations, 2U);
  EXPECT_EQ(totals.workloads().at("w1").workers.size(), 3U);
  for (const char* function : {"f", "g", "h", "i"})
    totals.on_stall(report("w1", LS_CAUSE_CPU, function));
  EXPECT_EQ(totals.workloads().at("w1").stall_ns.size(), 3U);
  EXPECT_EQ(totals.workloads().at("w1").stall_ns.at({LS_CAUSE_CPU, "other"}), 400U);
  EXPECT_EQ(totals.workloads().at("w1").stalls[LS_CAUSE_CPU], 4U);
  EXPECT_GT(totals.folded_labels(), 0U);
}

TEST(Totals, MadeUpNamesTakeNobodyElsesLabel) {
  constexpr Owner kGreedy{.cgroup = 1, .user = 65534};
  constexpr Owner kHonest{.cgroup = 1, .user = 1000};
  Totals totals({.workloads = 100});
  for (uint32_t i = 1; i <= 300; i++)
    totals.on_progress(progress(i, 1), process("made-up-" + std::to_string(i)), i, kGreedy);
  EXPECT_TRUE(totals.workloads().contains("other"));
  for (uint32_t i = 1; i <= 20; i++)
    totals.on_progress(progress(1000 + i, 5), process("shop-" + std::to_string(i)), 1, kHonest);
  for (uint32_t i = 1; i <= 300; i++)
    totals.on_progress(progress(i, 1), process("made-up-" + std::to_string(i)), i, kGreedy);
  for (uint32_t i = 1; i <= 20; i++)
    ASSERT_TRUE(totals.workloads().contains("shop-" + std::to_string(i))) << i;
  EXPECT_LE(totals.workloads().size(), 101U);
  EXPECT_EQ(totals.yielded_labels(), 20U);
  EXPECT_EQ(totals.loops(), 320U);
}

TEST(Totals, FoldsWorkersOverTheLimitOfAllWorkloads) {
  Totals totals({.all_workers = 3});
  for (uint32_t i = 1; i <= 6; i++)
    totals.on_progress(progress(i, 1), process("w" + std::to_string(i % 2), i), 1);
  size_t workers = 0;
  uint64_t iterations = 0;
  for (const auto& [name, workload] : totals.workloads()) {
    workers += workload.workers.size();
    for (const auto& [number, worker] : workload.workers) iterations += worker.iterations;
  }
  EXPECT_EQ(workers, 3U + 2U);  // one "other" in each of the two workloads
  EXPECT_EQ(iterations, 6U);
  EXPECT_EQ(totals.folded_labels(), 3U);
}

TEST(Totals, FoldsTheKindsOfLoopThatAProcessMakesUp) {
  Totals totals({.kinds = 2});
  for (uint32_t i = 1; i <= 5; i++) {
    WorkloadProcess one = process("a", i);
    one.python = "3." + std::to_string(i);
    totals.on_progress(progress(i, 1), one, 1);
  }
  const auto& loops = totals.workloads().at("a").loops;
  EXPECT_EQ(loops.size(), 3U);
  EXPECT_EQ(loops.at({"other", "other"}), 3U);
  for (uint32_t i = 1; i <= 5; i++) {
    LoopProgress last = progress(i, 1);
    last.ended = true;
    totals.on_progress(last, process("a", i), 2);
  }
  EXPECT_EQ(loops.at({"other", "other"}), 0U);
}

TEST(Totals, MovesALoopWhoseProcessIsDescribedAnew) {
  Totals totals;
  totals.on_progress(progress(1, 5), process("unknown"), 1);
  totals.on_progress(progress(1, 7), process("shop"), 2);
  EXPECT_EQ(totals.workloads().at("unknown").loops.at({"asyncio", "3.11.2"}), 0U);
  EXPECT_EQ(totals.workloads().at("shop").loops.at({"asyncio", "3.11.2"}), 1U);
  EXPECT_EQ(totals.workloads().at("shop").workers.at(0).iterations, 7U);
  EXPECT_EQ(totals.loops(), 1U);
}

TEST(Totals, CountsALoopAsWhatItTurnsOutToBe) {
  Totals totals;
  LoopProgress early = progress(1, 5);
  early.kind = LoopKind::kUnknown;
  totals.on_progress(early, process("a"), 1);
  totals.on_progress(progress(1, 5), process("a"), 2);
  const auto& loops = totals.workloads().at("a").loops;
  EXPECT_EQ(loops.size(), 1U);
  EXPECT_EQ(loops.at({"asyncio", "3.11.2"}), 1U);
}

TEST(Totals, CountsAStallOnceAndNotWhileItRuns) {
  Totals totals;
  StallReport running = report("a", LS_CAUSE_SLEEP);
  running.stall.in_progress = true;
  totals.on_stall(running);
  EXPECT_FALSE(totals.workloads().contains("a"));
  totals.on_stall(report("a", LS_CAUSE_SLEEP));
  EXPECT_EQ(totals.workloads().at("a").stalls[LS_CAUSE_SLEEP], 1U);
  EXPECT_EQ(totals.workloads().at("a").stall_ns.at({LS_CAUSE_SLEEP, "unknown"}), 200U);
}

TEST(Totals, AddsUpWaitsForTheLockByItsHolder) {
  Totals totals({.holders = 2});
  for (const char* function : {"f", "g", "h", "i", "f"}) {
    Frame holder{.function = function, .module = "app"};
    totals.on_lock_wait(10, &holder, process("a"));
  }
  const auto& waited = totals.workloads().at("a").gil_wait_ns;
  EXPECT_EQ(waited.size(), 3U);
  EXPECT_EQ(waited.at("app:f"), 20U);
  EXPECT_EQ(waited.at("other"), 20U);
}

TEST(Totals, CountsLostStallsAsUnknown) {
  Totals totals;
  LoopProgress lossy = progress(1, 5);
  lossy.lost_stalls = 3;
  totals.on_progress(lossy, process("a"), 1);
  EXPECT_EQ(totals.workloads().at("a").stalls[LS_CAUSE_UNKNOWN], 3U);
}

}  // namespace
}  // namespace loopsight
