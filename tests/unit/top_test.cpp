#include <gtest/gtest.h>

#include <clocale>

#include "daemon/top/api_client.h"
#include "daemon/top/top_model.h"
#include "daemon/top/top_sample.h"
#include "daemon/top/top_screen.h"
#include "daemon/top/top_view.h"

namespace loopsight {
namespace {

TopLoop loop(const std::string& workload, uint64_t tid, double busy, double idle) {
  TopLoop one{.workload = workload, .tid = tid, .busy_seconds = busy, .idle_seconds = idle};
  one.causes[LS_CAUSE_SLEEP] = busy * 0.75;
  one.causes[LS_CAUSE_CPU] = busy * 0.25;
  return one;
}

TopStall stall(const std::string& workload, uint64_t tid, double start_ns, double seconds) {
  return {.workload = workload,
          .tid = tid,
          .start_ns = start_ns,
          .time = "12:00:00",
          .seconds = seconds,
          .cause = "sleep",
          .culprit = "app:handler",
          .place = "/srv/a.py:7",
          .advice = "Use asyncio.sleep."};
}

TEST(TopSample, TakesWhatTheApiAnswers) {
  auto sample = parse_sample(
      R"([{"workload":"shop","worker":2,"pid":7,"tid":8,"loop":"uvloop","python":null,
           "busy_seconds":1.5,"idle_seconds":2,"stalled_seconds":0,"causes":{"sleep":1.5}}])",
      R"([{"workload":"shop","worker":2,"tid":8,"monotonic_ns":5,"duration_seconds":0.2,
           "time":"2026-11-22T18:04:05.123456Z","cause":"sleep","in_progress":true,
           "culprit":{"module":"app","function":"f","file":"a.py","line":3},
           "delayed":{"events":4,"seconds":0.5}}])");
  ASSERT_TRUE(sample);
  ASSERT_EQ(sample->loops.size(), 1U);
  EXPECT_EQ(sample->loops[0].kind, "uvloop");
  EXPECT_EQ(sample->loops[0].causes[LS_CAUSE_SLEEP], 1.5);
  const TopStall& one = sample->stalls.at(0);
  EXPECT_EQ(one.culprit, "app:f");
  EXPECT_EQ(one.place, "a.py:3");
  EXPECT_EQ(one.time, "18:04:05");
  EXPECT_TRUE(one.in_progress);
  EXPECT_EQ(one.delayed_events, 4.0);
}

TEST(TopSample, TakesNoHarmFromOtherJson) {
  EXPECT_FALSE(parse_sample("{}", "[]"));
  EXPECT_FALSE(parse_sample("[]", "nothing"));
  auto sample = parse_sample(R"([1, {"workload":["x"],"pid":-1,"causes":7}])",
                             R"([null, {"culprit":"x","delayed":[],"duration_seconds":1e999}])");
  EXPECT_FALSE(sample);  // 1e999 is no number
  sample = parse_sample(R"([1, {"workload":["x"],"pid":-1,"causes":7}])",
                        R"([null, {"culprit":"x","delayed":[],"duration_seconds":1e300}])");
  ASSERT_TRUE(sample);
  EXPECT_EQ(sample->loops[1].pid, 0U);
  EXPECT_EQ(sample->stalls[1].seconds, 0);
}

TEST(TopModel, ShowsWhatTheLastSecondsBrought) {
  TopModel model;
  model.update({.loops = {loop("a", 1, 100, 100)}, .stalls = {stall("a", 1, 1, 5)}}, 50);
  EXPECT_DOUBLE_EQ(model.rows()[0].busy_share, 0.5);  // one look: since the loop began
  EXPECT_EQ(model.rows()[0].blocked_share, 0);        // the stall is older than the view
  EXPECT_EQ(model.rows()[0].recent.size(), 1U);
  model.update({.loops = {loop("a", 1, 100.4, 101.6)},
                .stalls = {stall("a", 1, 2, 0.3), stall("a", 1, 1, 5)}},
               52);
  const TopRow& row = model.rows()[0];
  EXPECT_NEAR(row.busy_share, 0.2, 1e-9);
  EXPECT_NEAR(row.cause_shares[LS_CAUSE_SLEEP], 0.15, 1e-9);
  EXPECT_NEAR(row.blocked_share, 0.15, 1e-9);
  EXPECT_EQ(row.stalls, 1U);
  EXPECT_EQ(model.stalls(), 1U);
  // Ten seconds later it is forgotten, and the counters start there.
  model.update({.loops = {loop("a", 1, 100.4, 111.6)}, .stalls = {stall("a", 1, 2, 0.3)}}, 62);
  model.update({.loops = {loop("a", 1, 100.4, 112.6)}, .stalls = {stall("a", 1, 2, 0.3)}}, 63);
  EXPECT_EQ(model.rows()[0].blocked_share, 0);
  EXPECT_EQ(model.rows()[0].busy_share, 0);
  EXPECT_EQ(model.rows()[0].stalls, 1U);
}

TEST(TopModel, CountsTheStallThatGoesOn) {
  TopModel model;
  TopLoop one = loop("a", 1, 1, 1);
  model.update({.loops = {one}, .stalls = {}}, 0);
  one.stalled_seconds = 3;
  model.update({.loops = {one}, .stalls = {}}, 4);
  EXPECT_DOUBLE_EQ(model.rows()[0].blocked_share, 0.75);
}

TEST(TopModel, StartsAnewWhereCountersGoBack) {
  TopModel model;
  model.update({.loops = {loop("a", 1, 500, 100)}, .stalls = {}}, 0);
  model.update({.loops = {loop("a", 1, 1, 9)}, .stalls = {}}, 5);
  EXPECT_DOUBLE_EQ(model.rows()[0].busy_share, 0.1);
  model.update({.loops = {}, .stalls = {}}, 6);
  EXPECT_TRUE(model.rows().empty());
}

std::vector<TopRow> some_rows() {
  std::vector<TopRow> rows(3);
  const char* names[] = {"alpha", "beta", "gamma"};
  for (size_t i = 0; i < rows.size(); i++) {
    rows[i].loop = loop(names[i], i + 1, 1, 1);
    rows[i].blocked_share = static_cast<double>(i) / 10;
    rows[i].busy_share = 0.9 - static_cast<double>(i) / 10;
  }
  rows[1].recent = {stall("beta", 2, 1, 0.15)};
  return rows;
}

std::vector<std::string> names(const TopView& view) {
  std::vector<std::string> found;
  for (const TopRow* row : view.shown()) found.push_back(row->loop.workload);
  return found;
}

void type(TopView& view, const std::string& text) {
  for (char c : text) EXPECT_TRUE(view.on_key(TopKey::kText, c, 10));
}

using Names = std::vector<std::string>;

TEST(TopView, SortsAndFilters) {
  auto rows = some_rows();
  TopView view;
  view.arrange(rows);
  EXPECT_EQ(names(view), (Names{"gamma", "beta", "alpha"}));
  type(view, "s");
  view.arrange(rows);
  EXPECT_EQ(names(view), (Names{"alpha", "beta", "gamma"}));
  type(view, "/HANDq");  // of the culprit; q is a letter there
  view.arrange(rows);
  EXPECT_TRUE(names(view).empty());
  view.on_key(TopKey::kBackspace, 0, 10);
  view.on_key(TopKey::kEnter, 0, 10);
  view.arrange(rows);
  EXPECT_EQ(names(view), (Names{"beta"}));
  view.on_key(TopKey::kEscape, 0, 10);
  view.arrange(rows);
  EXPECT_EQ(names(view).size(), 3U);
  EXPECT_FALSE(view.on_key(TopKey::kText, 'q', 10));
}

TEST(TopView, KeepsTheChosenLoopChosen) {
  auto rows = some_rows();
  TopView view;
  view.arrange(rows);
  type(view, "j");
  EXPECT_EQ(view.shown()[view.chosen()]->loop.workload, "beta");
  rows[1].blocked_share = 1;
  view.arrange(rows);
  EXPECT_EQ(view.chosen(), 0U);
  EXPECT_EQ(view.shown()[view.chosen()]->loop.workload, "beta");
  type(view, "jjjjjjG");
  EXPECT_EQ(view.chosen(), 2U);
  view.on_key(TopKey::kEnter, 0, 10);
  EXPECT_EQ(view.mode(), TopMode::kDetails);
  rows.clear();
  view.arrange(rows);
  EXPECT_EQ(view.mode(), TopMode::kList);
}

std::string text_of(const std::vector<ScreenLine>& lines) {
  std::string text;
  for (const ScreenLine& line : lines) {
    for (const Span& span : line) text += span.text;
    text += '\n';
  }
  return text;
}

TEST(TopScreen, FitsAnySize) {
  auto rows = some_rows();
  TopView view;
  view.arrange(rows);
  for (auto mode : {"", "?", "\r"}) {
    if (*mode == '?') type(view, mode);
    if (*mode == '\r') {
      type(view, "x");
      view.on_key(TopKey::kEnter, 0, 10);
    }
    for (size_t width : {0, 1, 7, 20, 40, 59, 60, 80, 81, 200})
      for (size_t height : {0, 1, 2, 3, 4, 5, 24, 60}) {
        auto lines = draw_top(view, {.source = "http://127.0.0.1:9788"}, width, height);
        EXPECT_LE(lines.size(), height);
        for (const ScreenLine& line : lines) {
          size_t columns = 0;
          for (const Span& span : line) columns += span.text.size();
          EXPECT_LE(columns, width);
        }
      }
  }
}

TEST(TopScreen, ShowsALoopInEightyColumns) {
  auto rows = some_rows();
  rows[1].cause_shares[LS_CAUSE_SLEEP] = 0.5;
  rows[1].cause_shares[LS_CAUSE_CPU] = 0.3;
  TopView view;
  view.arrange(rows);
  std::string text = text_of(draw_top(view, {.source = "x", .stalls = 1}, 80, 24));
  EXPECT_NE(text.find("x, 3 loops, 1 stall, by blocked"), std::string::npos) << text;
  EXPECT_NE(text.find(" 10.0%  80.0%      0 ssssssccc"), std::string::npos) << text;
  EXPECT_NE(text.find("app:handler 150 ms sleep"), std::string::npos) << text;
}

TEST(TopScreen, KeepsTheChosenRowInSight) {
  std::vector<TopRow> rows(50);
  for (size_t i = 0; i < rows.size(); i++) rows[i].loop = loop("w" + std::to_string(i), i, 1, 1);
  TopView view;
  view.arrange(rows);
  type(view, "G");
  std::string text = text_of(draw_top(view, {}, 80, 10));
  EXPECT_NE(text.find(view.shown()[49]->loop.workload), std::string::npos) << text;
}

TEST(TopScreen, LetsNothingRawThrough) {
  std::vector<TopRow> rows(1);
  rows[0].loop = loop("\x1b[2Jevil\n\r\x9b", 1, 1, 1);
  rows[0].loop.python = "\x1b]0;title\x07";
  rows[0].recent = {stall("x\x1b", 1, 1, 1)};
  rows[0].recent[0].culprit = "c\x07\xFF";
  rows[0].recent[0].advice = "a\x1b[31m b";
  TopView view;
  view.arrange(rows);
  std::string text = text_of(draw_top(view, {.source = "s\x1b", .error = "e\x1b"}, 120, 30));
  view.on_key(TopKey::kEnter, 0, 10);
  text += text_of(draw_top(view, {.source = "s"}, 120, 30));
  for (char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  EXPECT_NE(text.find("?[2Jevil"), std::string::npos);
}

TEST(Fit, CountsColumnsAndNotBytes) {
  std::string old = std::setlocale(LC_CTYPE, nullptr);
  if (!std::setlocale(LC_CTYPE, "C.UTF-8")) GTEST_SKIP() << "no C.UTF-8 locale";
  EXPECT_EQ(fit("abc", 5), "abc  ");
  EXPECT_EQ(fit("abcdef", 3), "abc");
  EXPECT_EQ(fit("\xC3\xA9x", 3), "\xC3\xA9x ");
  EXPECT_EQ(fit("\xE6\xBC\xA2\xE5\xAD\x97", 3), "\xE6\xBC\xA2 ");  // two columns each
  EXPECT_EQ(fit("e\xCC\x81x", 3), "ex ");                          // a mark of no width
  EXPECT_EQ(fit("\xC3\xA9", 2, true), "? ");
  std::setlocale(LC_CTYPE, old.c_str());
}

TEST(ShownUrl, HidesWhatMayBeSecret) {
  EXPECT_EQ(shown_url("http://127.0.0.1:9788"), "http://127.0.0.1:9788");
  EXPECT_EQ(shown_url("https://user:p@ss@host:1/x"), "https://host:1/x");
  EXPECT_EQ(shown_url("user:pass@host"), "host");
}

}  // namespace
}  // namespace loopsight
