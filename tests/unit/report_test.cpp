#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "daemon/base/json_fields.h"
#include "daemon/report/durations.h"
#include "daemon/report/line_reader.h"
#include "daemon/report/markdown.h"
#include "daemon/report/report_json.h"
#include "daemon/report/verdict.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

constexpr uint64_t kMs = 1'000'000;

StallReport stall(uint64_t start_ms, uint64_t ms, const std::string& function = "handler",
                  uint32_t cause = LS_CAUSE_SLEEP) {
  StallReport report;
  report.process = {.workload = "shop", .worker = 1, .python = "3.11.2"};
  report.stall = {.tid = 5, .start_ns = start_ms * kMs, .end_ns = (start_ms + ms) * kMs};
  report.stall.causes[cause] = ms * kMs;
  report.cause = cause;
  report.culprit = Frame{.function = function, .module = "app", .file = "/srv/a.py", .line = 7};
  report.advice = "Sleep less.";
  return report;
}

std::string line(const StallReport& report) {
  return to_line(stall_json(report, WallClock::fixed(0), "h"));
}

Summary summary(uint64_t watched_s) {
  Summary result;
  result.iterations = 1000;
  result.watched_ns = watched_s * 1000 * kMs;
  result.busy[LS_CAUSE_SLEEP] = 2'000 * kMs;
  result.idle_ns = 6'000 * kMs;
  result.loops.push_back({.workload = "shop", .worker = 1, .kind = "asyncio", .iterations = 1000});
  return result;
}

TEST(Durations, AreExactWhileTheyAreFew) {
  Durations durations;
  EXPECT_EQ(durations.quantile_ns(0.5), 0U);
  for (uint64_t i = 1; i <= 100; i++) durations.add(i * kMs);
  EXPECT_EQ(durations.quantile_ns(0.5), 50 * kMs);
  EXPECT_EQ(durations.quantile_ns(0.99), 99 * kMs);
  EXPECT_EQ(durations.quantile_ns(1), 100 * kMs);
  EXPECT_EQ(durations.longest_ns(), 100 * kMs);
  EXPECT_TRUE(durations.is_exact());
}

TEST(Durations, KeepTwoPercentWhenTheyAreMany) {
  Durations durations;
  for (uint64_t i = 1; i <= 100'000; i++) durations.add(i * kMs);
  EXPECT_FALSE(durations.is_exact());
  for (double share : {0.01, 0.5, 0.9, 0.999})
    EXPECT_NEAR(static_cast<double>(durations.quantile_ns(share)), share * 1e5 * 1e6,
                share * 1e5 * 1e6 * 0.02);
  EXPECT_EQ(durations.longest_ns(), 100'000 * kMs);
}

TEST(Tally, SumsStallsByCulpritAndCause) {
  Tally tally;
  tally.add_line(line(stall(0, 100)));
  tally.add_line(line(stall(1000, 300)));
  tally.add_line(line(stall(2000, 60, "load", LS_CAUSE_DISK)));
  tally.add_line(to_line(summary_json(summary(8))));
  tally.finish();
  EXPECT_EQ(tally.durations().count(), 3U);
  EXPECT_EQ(tally.culprits().size(), 2U);
  const auto& handler = tally.culprits().at({"app:handler", "sleep"});
  EXPECT_EQ(handler.durations.sum_ns(), 400 * kMs);
  EXPECT_EQ(handler.where, "/srv/a.py:7");
  EXPECT_EQ(handler.advice, "Sleep less.");
  EXPECT_EQ(tally.watched_seconds(), 8.0);
  EXPECT_NEAR(tally.span()->second - tally.span()->first, 2.06, 1e-6);
  ASSERT_EQ(tally.loops().size(), 1U);  // the summary's loop is the stalls'
  EXPECT_EQ(tally.loops().begin()->second.iterations, 1000);
  EXPECT_EQ(tally.bad_lines(), 0U);
}

TEST(Tally, CountsAStallInProgressOnceAtItsEnd) {
  Tally tally;
  StallReport running = stall(0, 500);
  running.stall.in_progress = true;
  tally.add_line(line(running));
  tally.add_line(line(stall(0, 900)));  // the same, ended
  running.stall.tid = 6;
  tally.add_line(line(running));
  tally.finish();
  EXPECT_EQ(tally.durations().count(), 2U);
  EXPECT_EQ(tally.durations().sum_ns(), 1400 * kMs);
  EXPECT_EQ(tally.never_ended(), 1U);
}

TEST(Tally, CountsBadLinesAndTakesNoHarm) {
  Tally tally;
  auto json = stall_json(stall(0, 100), WallClock::fixed(0), "h");
  auto with = [&](const char* key, const nlohmann::ordered_json& value) {
    auto changed = json;
    changed[key] = value;
    return to_line(changed);
  };
  uint64_t bad = 0;
  for (const std::string& one :
       {std::string("{"), std::string("[]"), std::string("1"), std::string("\xFF\xFE"),
        std::string("{\"type\":\"other\"}"), std::string("{\"type\":\"stall\"}"),
        std::string(100'000, '['), with("duration_seconds", -1), with("duration_seconds", 1e300),
        with("duration_seconds", "x"), with("cause", "magic"), with("time", "yesterday"),
        with("in_progress", 3), with("tid", nullptr)}) {
    tally.add_line(one);
    EXPECT_EQ(tally.bad_lines(), ++bad) << one.substr(0, 60);
  }
  // What is not needed may be anything.
  tally.add_line(with("culprit", 5));
  tally.add_line(with("delayed", nlohmann::ordered_json::array()));
  tally.add_line(with("worker", "x"));
  EXPECT_EQ(tally.bad_lines(), bad);
  EXPECT_EQ(tally.durations().count(), 3U);
}

TEST(Tally, FoldsWhatIsBeyondItsBounds) {
  Tally tally({.culprits = 10, .loops = 5, .running = 3});
  for (uint32_t i = 0; i < 50; i++) {
    StallReport one = stall(i * 100, 60, "f" + std::to_string(i));
    one.process.worker = i;
    tally.add_line(line(one));
    one.stall.in_progress = true;
    one.stall.tid = 1000 + i;
    tally.add_line(line(one));
  }
  EXPECT_EQ(tally.culprits().size(), 11U);
  EXPECT_EQ(tally.folded(), 40U);
  EXPECT_EQ(tally.loops().size(), 5U);
  tally.finish();
  EXPECT_EQ(tally.never_ended(), 3U);
}

TEST(Tally, SumsWhoWaited) {
  Tally tally;
  auto json = stall_json(stall(0, 100), WallClock::fixed(0), "h");
  json["delayed"] = {
      {"events", 48}, {"seconds", 7.5}, {"timer_lateness_seconds", 0.09}, {"exact", true}};
  tally.add(json);
  json["monotonic_ns"] = 7;
  json["delayed"]["exact"] = false;
  tally.add(json);
  EXPECT_EQ(tally.delayed().events, 96);
  EXPECT_EQ(tally.delayed().seconds, 15);
  EXPECT_EQ(tally.delayed().timer_lateness_seconds, 0.09);
  EXPECT_FALSE(tally.delayed().exact);
  EXPECT_NE(markdown_report({"x", tally}).find("96 for 15.0 s (bounded)"), std::string::npos);
}

TEST(Tally, SumsFullThreadPools) {
  Tally tally;
  nlohmann::ordered_json json = {{"type", "executor"},
                                 {"duration_seconds", 4.5},
                                 {"in_progress", true},
                                 {"queued", 54},
                                 {"oldest_wait_seconds", 2.0}};
  tally.add(json);
  json["in_progress"] = false;
  json["queued"] = nullptr;
  tally.add(json);
  EXPECT_EQ(tally.bad_lines(), 0U);
  EXPECT_EQ(tally.executors().saturations, 1U);
  EXPECT_EQ(tally.executors().seconds, 4.5);
  EXPECT_EQ(tally.executors().most_queued, 54);
  EXPECT_NE(markdown_report({"x", tally}).find("1 time for 4.50 s; at most 54 jobs"),
            std::string::npos);
  tally.add({{"type", "executor"}});
  EXPECT_EQ(tally.bad_lines(), 1U);
}

TEST(ReadLines, HandsOverWholeLinesAndBoundsThem) {
  auto path = std::filesystem::path(testing::TempDir()) / fmt::format("lines-{}", getpid());
  std::string longest(100'000, 'x');
  std::ofstream(path) << "one\n\n" << longest << "\n" << longest << "yy\ntwo";
  std::vector<size_t> sizes;
  auto read = read_lines(
      path.string(), [&](std::string_view one) { sizes.push_back(one.size()); }, longest.size());
  std::filesystem::remove(path);
  ASSERT_TRUE(read);
  EXPECT_EQ(sizes, (std::vector<size_t>{3, 100'000, 3}));
  EXPECT_EQ(read->lines, 4U);
  EXPECT_EQ(read->too_long, 1U);
  EXPECT_FALSE(read_lines("/nonexistent/file", [](std::string_view) {}));
  EXPECT_FALSE(read_lines(testing::TempDir(), [](std::string_view) {}));
}

TEST(Verdict, SaysNoMoreThanTheNumbersAllow) {
  EXPECT_EQ(compare_rates(4, 60, 5, 60), Verdict::kTooFew);
  EXPECT_EQ(compare_rates(100, 60, 0, 0), Verdict::kTooFew);
  EXPECT_EQ(compare_rates(50, 60, 45, 60), Verdict::kNoClearChange);
  EXPECT_EQ(compare_rates(50, 60, 10, 60), Verdict::kFewer);
  EXPECT_EQ(compare_rates(50, 60, 0, 60), Verdict::kGone);
  EXPECT_EQ(compare_rates(0, 60, 20, 60), Verdict::kNew);
  EXPECT_EQ(compare_rates(20, 60, 60, 60), Verdict::kMore);
  EXPECT_EQ(compare_rates(20, 60, 60, 180), Verdict::kNoClearChange);  // the same rate
}

TEST(Markdown, ShowsHostileNamesAsTheyAre) {
  Tally tally;
  tally.add_line(line(stall(0, 100, "a|b`c\n## <script>")));
  std::string text = markdown_report({"f`|\n", tally});
  EXPECT_NE(text.find("`app:a\\|b'c?## <script>`"), std::string::npos) << text;
  EXPECT_EQ(text.find("\n## <"), std::string::npos);
  EXPECT_EQ(as_text("a*b<i>|_"), "a\\*b\\<i\\>\\|\\_");
}

NamedTally named(const std::string& name, int stalls, uint64_t watched_s) {
  NamedTally one{.name = name, .tally = {}};
  for (int i = 0; i < stalls; i++)
    one.tally.add(stall_json(stall(static_cast<uint64_t>(i) * 500, 100), WallClock::fixed(0), "h"));
  one.tally.add(summary_json(summary(watched_s)));
  one.tally.finish();
  return one;
}

TEST(Comparison, SaysWhatChanged) {
  auto before = named("before", 60, 60);
  auto after = named("after", 0, 60);
  std::string text = markdown_comparison(before, after);
  EXPECT_NE(text.find("**Fewer stalls**: 60.0 stalls a minute before, 0.0 after (\xE2\x88\x92"
                      "100 %)"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("| `app:handler` | sleep | 60 (6.00 s) |  | gone |"), std::string::npos);
  auto json = comparison_json(before, after);
  EXPECT_EQ(json["verdict"], "gone");
  EXPECT_EQ(json["culprits"][0]["before"]["stalls"], 60);
}

TEST(Comparison, IsHonestWhereThereIsTooLittleData) {
  std::string text = markdown_comparison(named("a", 2, 60), named("b", 1, 200));
  EXPECT_NE(text.find("**Too little data to tell**: 2 stalls before and 1 after."),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("percentiles of so few"), std::string::npos);
  EXPECT_NE(text.find("The two windows differ"), std::string::npos);
  EXPECT_NE(text.find("load may not"), std::string::npos);
}

TEST(Report, SaysWhereTheWindowIsNotKnown) {
  NamedTally one{.name = "x", .tally = {}};
  one.tally.add_line(line(stall(0, 100)));
  one.tally.add_line("junk");
  std::string text = markdown_report(one);
  EXPECT_NE(text.find("no summary line"), std::string::npos) << text;
  EXPECT_NE(text.find("1 line in `x` could not be read and was left out."), std::string::npos);
  auto json = report_json(one);
  EXPECT_TRUE(json["watched_seconds"].is_null());
  EXPECT_EQ(json["stalls"], 1);
  EXPECT_EQ(json["caveats"].size(), caveats(one).size());
}

TEST(Tally, ALineOfBracketsIsABadLine) {
  Tally tally;
  size_t most = kMaxLineBytes / 2 - 100;
  std::string brackets = std::string(most, '[') + std::string(most, ']');
  tally.add_line(brackets);
  tally.add_line(R"({"type": "stall", "culprit": )" + brackets + "}");
  std::string text = R"({"type": ")" + std::string(1000, '[') + R"(\"[[", "b": []})";
  EXPECT_FALSE(is_nested_deeply(text));  // brackets in a text are none
  EXPECT_TRUE(is_nested_deeply(brackets));
  EXPECT_EQ(tally.bad_lines(), 2U);
}

TEST(Tally, TakesNoTimeThatCannotBe) {
  Tally tally;
  std::string one = line(stall(1000, 100));
  for (const char* year : {"1901", "4052", "9999"}) {
    std::string other = one;
    other.replace(other.find("1970"), 4, year);
    tally.add_line(other);
  }
  EXPECT_EQ(tally.bad_lines(), 3U);
  EXPECT_FALSE(tally.span());
  Durations longest;
  for (int i = 0; i < 3; i++) longest.add(UINT64_MAX);
  EXPECT_EQ(longest.sum_ns(), uint64_t{1} << 62);  // and no smaller number
  EXPECT_EQ(seconds_text(1e30), seconds_text(1e15));
}

}  // namespace
}  // namespace loopsight
