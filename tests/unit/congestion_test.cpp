#include "daemon/attribute/congestion.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// A second of a loop: busy for so many milliseconds, of which `over_ms` in stalls.
LoopProgress second(uint64_t busy_ms, uint64_t over_ms = 0) {
  LoopProgress progress{.loop = {.row = 1, .generation = 1}, .tgid = 10, .tid = 11};
  progress.kind = LoopKind::kAsyncio;
  progress.iterations = 100;
  progress.busy[LS_CAUSE_CPU] = busy_ms * 1'000'000;
  progress.idle_ns = kSecond - busy_ms * 1'000'000;
  progress.over_ns = over_ms * 1'000'000;
  progress.buckets[4] = 100;  // of at most 10 ms
  return progress;
}

class Congestion : public testing::Test {
 protected:
  std::optional<CongestionReport> pass(const LoopProgress& progress) {
    now_ns_ += kSecond;
    return watch_.on_progress(progress, process_, now_ns_);
  }
  // Ten seconds and the reports in them.
  std::vector<CongestionReport> window(uint64_t busy_ms, uint64_t over_ms = 0, int samples = 0) {
    std::vector<CongestionReport> reports;
    for (int i = 0; i < 10; i++) {
      for (int j = 0; j < samples; j++) {
        BusySample one{.loop = {.row = 1, .generation = 1}, .tgid = 10};
        one.stack.flags = LS_STACK_HAS_LOCK;
        watch_.on_sample(one, {{.function = j % 4 ? "price" : "render", .file = "/srv/app.py"}},
                         {.culprit = 0});
      }
      if (auto report = pass(second(busy_ms, over_ms))) reports.push_back(*report);
    }
    return reports;
  }
  CongestionWatch watch_;
  WorkloadProcess process_;
  uint64_t now_ns_ = 100 * kSecond;
};

TEST_F(Congestion, IsToldAfterAWindowAtEachDoublingAndAtItsEnd) {
  EXPECT_FALSE(pass(second(950)));  // what was before is not known
  auto first = window(950, 0, 4);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_TRUE(first[0].in_progress);
  EXPECT_EQ(first[0].end_ns - first[0].start_ns, 10 * kSecond);
  EXPECT_NEAR(first[0].busy_share(), 0.95, 0.001);
  EXPECT_EQ(first[0].longest_ns, 10'000'000U);
  EXPECT_EQ(first[0].iterations, 1000U);
  EXPECT_EQ(window(950).size(), 1U);  // 20 s
  EXPECT_EQ(window(950).size(), 0U);  // 30 s
  EXPECT_EQ(window(950).size(), 1U);  // 40 s
  auto last = window(300);
  ASSERT_EQ(last.size(), 1U);
  EXPECT_FALSE(last[0].in_progress);
  EXPECT_EQ(last[0].end_ns - last[0].start_ns, 40 * kSecond);
  EXPECT_TRUE(window(300).empty());
}

TEST_F(Congestion, NamesWhatFillsTheLoopByTheSharesOfItsSamples) {
  pass(second(950));
  auto reports = window(950, 0, 4);
  ASSERT_EQ(reports.size(), 1U);
  ASSERT_EQ(reports[0].parts.size(), 2U);
  EXPECT_EQ(reports[0].samples, 40U);
  EXPECT_EQ(reports[0].parts[0].frame.function, "price");
  EXPECT_DOUBLE_EQ(reports[0].parts[0].share, 0.75);
  EXPECT_DOUBLE_EQ(reports[0].parts[0].lock_held, 1);
  EXPECT_NE(reports[0].advice.find("One function"), std::string::npos);
}

TEST_F(Congestion, IsNotToldOfALoopWithTimeLeftOrWithStallsThatExplainIt) {
  pass(second(700));
  EXPECT_TRUE(window(700).empty());
  EXPECT_TRUE(window(950, 600).empty());
  EXPECT_EQ(window(950, 300).size(), 1U);
}

TEST_F(Congestion, OfAHandfulOfSamplesNoSharesAreTold) {
  pass(second(950));
  auto reports = window(950, 0, 1);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].samples, 10U);
  EXPECT_TRUE(reports[0].parts.empty());
}

TEST_F(Congestion, EndsWithItsLoop) {
  pass(second(950));
  window(950);
  LoopProgress last = second(950);
  last.ended = true;
  auto report = pass(last);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->in_progress);
  EXPECT_FALSE(pass(second(950)));  // another loop in the row
}

}  // namespace
}  // namespace loopsight
