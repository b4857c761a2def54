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
  report.frames = {leaf, culprit, leaf, caller};
  culprit.expression = "get(url)";
  report.culprit = culprit;
  report.task = "Task-7";
  report.callee = "connect";
  report.callbacks = ReadyCallbacks{.count = 3, .largest_share = 0.5};
  std::string text = stall_text(report);
  EXPECT_NE(text.find("in fetch (/srv/app.py:7): get(url)\n"), std::string::npos) << text;
  EXPECT_NE(text.find(", in C function connect; 3 callbacks were ready, the longest took 50 %\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("called by handler (app.py:20); task Task-7\n"), std::string::npos) << text;
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
  std::string text = stall_text(sample(), {.quiet = true});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
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
