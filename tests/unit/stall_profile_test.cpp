#include "daemon/profile/stall_profile.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "daemon/profile/folded.h"
#include "daemon/profile/speedscope.h"

namespace loopsight {
namespace {

Frame frame(const std::string& function, uint32_t line) {
  return {.function = function, .module = "app", .file = "/srv/app.py", .line = line};
}

// 100 ms: 60 asleep in inner, 30 on the CPU in outer, 10 of waiting for a CPU.
StallReport sample() {
  StallReport report;
  report.process = {.workload = "shop", .worker = 1};
  report.stall = {.tgid = 7, .tid = 8, .kind = LoopKind::kAsyncio, .end_ns = 100'000'000};
  report.stall.causes[LS_CAUSE_SLEEP] = 60'000'000;
  report.stall.causes[LS_CAUSE_CPU] = 30'000'000;
  report.stall.causes[LS_CAUSE_RUN_QUEUE] = 10'000'000;
  report.culprit = frame("inner", 9);
  report.stack_times = {{.frames = {frame("inner", 9), frame("outer", 3)},
                         .ns = 60'500'000,  // more than the cause has
                         .cause = LS_CAUSE_SLEEP},
                        {.frames = {frame("outer", 4)}, .ns = 20'000'000, .cause = LS_CAUSE_CPU}};
  return report;
}

uint64_t sum(const ProfiledStall& stall) {
  uint64_t ns = 0;
  for (const StackTime& time : stall.times) ns += time.ns;
  return ns;
}

TEST(Profiled, AddsUpToTheStall) {
  ProfiledStall stall = profiled(sample());
  EXPECT_EQ(sum(stall), 100'000'000U);
  ASSERT_EQ(stall.times.size(), 4U);
  EXPECT_EQ(stall.times[0].ns, 60'000'000U);
  EXPECT_TRUE(stall.times[2].frames.empty());  // 10 ms of CPU and the wait for one
  EXPECT_EQ(sum(profiled(StallReport())), 0U);
}

TEST(StallProfile, SharesFramesStacksAndLoops) {
  StallProfile profile;
  for (int i = 0; i < 3; i++) profile.add(profiled(sample()));
  EXPECT_EQ(profile.loops().size(), 1U);
  EXPECT_EQ(profile.frames().size(), 3U);
  EXPECT_EQ(profile.stacks().size(), 3U);
  EXPECT_EQ(profile.samples().size(), 12U);
  uint32_t stalls = 0;
  for (const auto& one : profile.samples()) stalls += one.stalls;
  EXPECT_EQ(stalls, 3U);
  const auto& stack = profile.stacks()[profile.samples()[0].stack];
  EXPECT_EQ(profile.frames()[stack.front()].function, "outer");
  EXPECT_EQ(profile.frames()[stack.back()].function, "inner");
}

TEST(StallProfile, LeavesOutAndCountsWhatIsBeyondItsLimits) {
  StallProfile samples({.samples = 9});
  for (int i = 0; i < 3; i++) samples.add(profiled(sample()));
  EXPECT_EQ(samples.samples().size(), 8U);
  EXPECT_EQ(samples.left_out(), 1U);
  StallProfile frames({.frames = 3});
  frames.add(profiled(sample()));
  EXPECT_EQ(frames.left_out(), 1U);
  StallProfile stacks({.stacks = 2});
  stacks.add(profiled(sample()));
  EXPECT_EQ(stacks.left_out(), 1U);
}

TEST(Folded, SumsEqualStacksInMicroseconds) {
  StallProfile profile;
  profile.add(profiled(sample()));
  profile.add(profiled(sample()));
  EXPECT_EQ(folded(profile),
            "shop;[not seen];[cpu] 20000\n"
            "shop;[not seen];[run_queue] 20000\n"
            "shop;app:outer:3;app:inner:9;[sleep] 120000\n"
            "shop;app:outer:4;[cpu] 40000\n");
}

TEST(Folded, EscapesWhatHasAMeaning) {
  StallReport report = sample();
  report.process.workload = "a;b\n1";
  report.stack_times = {{.frames = {{.function = "f;g\r h 5"}}, .ns = 100'000'000, .cause = 0}};
  report.stall.causes = {};
  report.stall.causes[0] = 100'000'000;
  StallProfile profile;
  profile.add(profiled(report));
  EXPECT_EQ(folded(profile), "a\\x3bb?1;f\\x3bg? h 5;[cpu] 100000\n");
}

TEST(Speedscope, HasAProfileALoopInTheOrderOfTime) {
  StallProfile profile;
  profile.add(profiled(sample()));
  StallReport other = sample();
  other.stall.tid = 9;
  profile.add(profiled(other));
  auto json = nlohmann::json::parse(speedscope_json(profile, "x"));
  ASSERT_EQ(json["profiles"].size(), 2U);
  const auto& first = json["profiles"][0];
  EXPECT_EQ(first["endValue"], 100'000'000);
  EXPECT_EQ(first["weights"],
            (std::vector<uint64_t>{60'000'000, 20'000'000, 10'000'000, 10'000'000}));
  const auto& frames = json["shared"]["frames"];
  const auto& stack = first["samples"][0];
  EXPECT_EQ(frames[stack[1].get<size_t>()],
            (nlohmann::json{{"name", "app:inner"}, {"file", "/srv/app.py"}, {"line", 9}}));
  EXPECT_EQ(frames[stack[2].get<size_t>()]["name"], "[sleep]");
}

TEST(Speedscope, IsAFileWithoutStallsToo) {
  auto json = nlohmann::json::parse(speedscope_json(StallProfile(), "x"));
  EXPECT_EQ(json["profiles"].size(), 1U);
}

}  // namespace
}  // namespace loopsight
