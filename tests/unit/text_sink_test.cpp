#include "daemon/sink/text_sink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace loopsight {
namespace {

StallReport sample() {
  StallReport report;
  report.process = {.workload = "app.py", .worker = 1, .comm = "python3", .python = "3.11.2"};
  report.stall = {.tgid = 42,
                  .tid = 42,
                  .kind = LoopKind::kAsyncio,
                  .start_ns = 1'500'000'000,
                  .end_ns = 1'650'000'000};
  report.stall.causes[LS_CAUSE_NETWORK] = 147'000'000;
  report.stall.causes[LS_CAUSE_CPU] = 3'000'000;
  report.cause = LS_CAUSE_NETWORK;
  report.wait = WaitReport{.syscall = "recvfrom",
                           .target = "10.0.0.5:5432",
                           .cause = LS_CAUSE_NETWORK,
                           .duration_ns = 147'000'000};
  report.advice = "Do not.";
  return report;
}

template <typename Write>
std::string written(TextOptions options, Write write) {
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  TextSink sink(out, WallClock::fixed(0), options);
  write(sink);
  fclose(out);
  std::string result(text, size);
  std::free(text);
  return result;
}

std::string stall_text(const StallReport& report, TextOptions options = {}) {
  return written(options, [&](TextSink& sink) { EXPECT_TRUE(sink.on_stall(report)); });
}

TEST(TextSink, SaysAStallInAFewLines) {
  EXPECT_EQ(stall_text(sample()),
            "00:00:01.500  app.py[1] stalled for 150 ms: network 98 %, cpu 2 %\n"
            "              pid 42 python 3.11.2 asyncio\n"
            "              waited 147 ms in recvfrom on 10.0.0.5:5432\n"
            "              Do not.\n");
}

TEST(TextSink, NamesTheCodeAndHowItWasCalled) {
  StallReport report = sample();
  Frame leaf{.function = "connect", .file = "/usr/lib/python3.11/socket.py", .line = 1};
  Frame culprit{.function = "fetch", .file = "/srv/app.py", .line = 7};
  Frame caller{.function = "handler", .file = "/srv/app.py", .line = 20};
  Frame launcher{.function = "<module>", .file = "/srv/app.py", .line = 30};
  leaf.whose = Whose::kLibrary;
  culprit.whose = caller.whose = Whose::kOwn;
  launcher.whose = Whose::kOutside;
  Frame again = caller;
  again.line = 21;
  report.frames = {leaf, culprit, leaf, caller, again, launcher};
  report.rule = CulpritRule::kOwn;
  report.culprit_index = 1;
  culprit.expression = "get(url)";
  report.culprit = culprit;
  report.task = "Task-7";
  report.callee = "connect";
  report.callbacks = ReadyCallbacks{.count = 3, .largest_share = 0.45, .largest_at_most = 0.5};
  std::string text = stall_text(report);
  EXPECT_NE(text.find("in fetch (/srv/app.py:7): get(url)\n"), std::string::npos) << text;
  EXPECT_NE(text.find(", in C function connect; 3 callbacks were ready, the longest took 48 %\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("called by handler (app.py:20) \xC3\x97 2; task Task-7\n"), std::string::npos)
      << text;
}

TEST(TextSink, TellsABoundAsABound) {
  StallReport report = sample();
  report.callbacks = ReadyCallbacks{.count = 60'000, .largest_share = 0, .largest_at_most = 0.15};
  EXPECT_NE(stall_text(report).find("60000 callbacks were ready, the longest took at most 15 %"),
            std::string::npos)
      << stall_text(report);
}

TEST(TextSink, NamesContributorsWhereNoneHasMost) {
  StallReport report = sample();
  auto part = [](const char* function, uint32_t line, uint64_t ns) {
    Frame frame{.function = function, .file = "/srv/app.py", .line = line};
    return Contributor{.frame = frame, .ns = ns, .cause = LS_CAUSE_CPU};
  };
  report.contributors = {part("parse", 7, 60'000'000), part("store", 12, 45'000'000),
                         part("log", 3, 30'000'000), part("rest", 4, 15'000'000)};
  EXPECT_NE(stall_text(report).find("              40 % cpu in parse (app.py:7), 30 % cpu in store "
                                    "(app.py:12), 20 % cpu in log (app.py:3)\n"),
            std::string::npos)
      << stall_text(report);
  report.contributors[0].ns = 80'000'000;
  EXPECT_EQ(stall_text(report).find("store"), std::string::npos);
}

TEST(TextSink, NamesThePlaceOfAWaitThatIsNotTheCulprits) {
  StallReport report = sample();
  report.culprit = Frame{.function = "parse", .file = "/srv/app.py", .line = 7};
  report.wait->culprit = report.culprit;
  report.wait->leaf = report.culprit;
  EXPECT_EQ(stall_text(report).find(", in "), std::string::npos);
  report.wait->leaf = Frame{.function = "recv", .file = "/usr/lib/python3.11/ssl.py", .line = 9};
  EXPECT_NE(stall_text(report).find("10.0.0.5:5432, in recv (/usr/lib/python3.11/ssl.py:9)\n"),
            std::string::npos);
  report.wait->culprit = Frame{.function = "fetch", .file = "/srv/db.py", .line = 3};
  EXPECT_NE(stall_text(report).find("10.0.0.5:5432, in fetch (/srv/db.py:3)\n"), std::string::npos);
}

TEST(TextSink, ShowsTheWholeStackWhenAskedTo) {
  StallReport report = sample();
  for (uint32_t i = 1; i <= 3; i++)
    report.frames.push_back({.function = "f", .file = "/srv/app.py", .line = i});
  report.frames_cut = true;
  report.frames_left_out = 130;
  report.left_out_after = 2;
  EXPECT_EQ(stall_text(report).find("f (/srv/app.py:2)"), std::string::npos);
  EXPECT_NE(stall_text(report, {.frames = true})
                .find("                f (/srv/app.py:2)\n"
                      "                \xE2\x80\xA6 130 frames are left out here\n"
                      "                f (/srv/app.py:3)\n"),
            std::string::npos)
      << stall_text(report, {.frames = true});
}

TEST(TextSink, SaysAtTheStartWhatIsWatched) {
  auto start = [](TextOptions options) {
    return written(options, [](TextSink& sink) {
      EXPECT_TRUE(sink.on_start(
          {.what = "pid 7", .threshold_ns = 50'000'000, .end = "it ends with Ctrl-C"}));
    });
  };
  EXPECT_EQ(start({}),
            "watching pid 7; a stall is a busy phase over 50.0 ms; it ends with Ctrl-C\n");
  EXPECT_EQ(start({.quiet = true}), "");
}

TEST(TextSink, NamesWhoHadTheInterpreterLock) {
  StallReport report = sample();
  Frame holder{.function = "spin", .file = "/srv/app.py", .line = 9};
  report.gil_holder = GilHolder{.tid = 7, .frames = {holder}};
  EXPECT_EQ(stall_text(report).find("spin"), std::string::npos);  // it was not waited for
  report.stall.causes[LS_CAUSE_GIL] = 40'000'000;
  EXPECT_NE(stall_text(report).find("the interpreter lock was held in spin (/srv/app.py:9)"),
            std::string::npos);
}

TEST(TextSink, SaysWhoWaited) {
  StallReport report = sample();
  report.stall.delayed = Delayed{};
  EXPECT_EQ(stall_text(report).find("meanwhile"), std::string::npos);  // nobody
  report.stall.delayed = Delayed{.events_at_least = 17,
                                 .events = 17,
                                 .ns = 2'000'000'000,
                                 .longest_ns = 143'000'000,
                                 .exact = true,
                                 .timer_late_ns = 140'000'000};
  EXPECT_NE(
      stall_text(report).find("              meanwhile: 17 descriptors ready, the longest for "
                              "143 ms; a timer 140 ms late\n"),
      std::string::npos)
      << stall_text(report);
  report.stall.delayed->exact = false;
  report.stall.delayed->events_at_least = 12;
  EXPECT_NE(stall_text(report).find("12 to 17 descriptors ready, for up to 143 ms;"),
            std::string::npos);
}

TEST(TextSink, IsBriefWhenAskedTo) {
  StallReport report = sample();
  report.culprit = Frame{.function = "fetch", .file = "/srv/app.py", .line = 7};
  std::string text = stall_text(report, {.quiet = true});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_NE(text.find(", in fetch (/srv/app.py:7)\n"), std::string::npos) << text;
  EXPECT_EQ(written({.quiet = true}, [](TextSink& sink) { EXPECT_TRUE(sink.on_summary({})); }), "");
}

TEST(TextSink, ColoursOnlyWhenToldTo) {
  EXPECT_EQ(stall_text(sample()).find('\x1b'), std::string::npos);
  EXPECT_NE(stall_text(sample(), {.color = true}).find('\x1b'), std::string::npos);
}

TEST(TextSink, SaysThatAStallStillRunsOrWasEndedByASignal) {
  StallReport running = sample();
  running.stall.in_progress = true;
  EXPECT_NE(stall_text(running).find("is stalled for"), std::string::npos);
  StallReport killed = sample();
  killed.stall.killed_by = 9;
  EXPECT_NE(stall_text(killed).find("until signal 9 ended it"), std::string::npos);
}

TEST(TextSink, NamesNoWaitThatIsOnlyASmallPart) {
  StallReport report = sample();
  report.wait->duration_ns = 1'000'000;
  EXPECT_NE(stall_text(report).find("no single long wait"), std::string::npos);
}

TEST(TextSink, SummarisesOrSaysThatNothingWasSeen) {
  Summary summary;
  EXPECT_NE(written({}, [&](TextSink& sink) { EXPECT_TRUE(sink.on_summary(summary)); })
                .find("no event loop was seen"),
            std::string::npos);
  summary.stalls = 1;
  summary.lost = 2;
  summary.busy[LS_CAUSE_CPU] = 1'000'000;
  summary.loops.push_back(
      {.workload = "a", .kind = "uvloop", .iterations = 3, .idle_ns = 3, .busy_ns = 1});
  std::string text = written({}, [&](TextSink& sink) { EXPECT_TRUE(sink.on_summary(summary)); });
  EXPECT_NE(text.find("1 stall in"), std::string::npos);
  EXPECT_NE(text.find("25.0 % busy, not_running"), std::string::npos);
  EXPECT_NE(text.find("2 records were lost"), std::string::npos);
}

TEST(TextSink, ReportsThatItsOutputTakesNoMore) {
  FILE* full = std::fopen("/dev/full", "w");
  TextSink sink(full, WallClock::fixed(0), {});
  EXPECT_FALSE(sink.on_stall(sample()));
  std::fclose(full);
}

}  // namespace
}  // namespace loopsight
