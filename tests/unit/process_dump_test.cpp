#include "daemon/sink/process_dump.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

ThreadReport thread(uint32_t tid, const char* function) {
  ThreadReport report{.tid = tid,
                      .comm = "python3",
                      .activity = LS_THREAD_WAITS,
                      .for_ns = 1'500'000'000,
                      .is_python = true,
                      .stood_still = true};
  report.now.stall = {.tgid = 42, .tid = tid, .end_ns = report.for_ns};
  report.now.stall.causes[LS_CAUSE_NETWORK] = report.for_ns;
  report.now.cause = LS_CAUSE_NETWORK;
  report.now.wait = WaitReport{.syscall = "recvfrom", .target = "10.0.0.5:5432"};
  Frame frame{.function = function, .module = "app", .file = "/srv/app.py", .line = 7};
  report.now.frames = {frame};
  report.now.culprit = frame;
  report.now.rule = CulpritRule::kOwn;
  report.now.advice = "Do not.";
  return report;
}

ProcessReport process(std::vector<ThreadReport> threads) {
  return {.time_ns = 2'000'000'000,
          .pid = 42,
          .process = {.workload = "shop", .comm = "python3", .python = "3.11.2"},
          .threads = std::move(threads)};
}

TEST(ProcessDump, SaysABusyLoopWithItsCulpritAndAdvice) {
  ThreadReport busy = thread(42, "fetch");
  busy.loop = LoopKind::kAsyncio;
  busy.now.task = "Task-7";
  EXPECT_EQ(dump_text(process({busy}), WallClock::fixed(0), false),
            "pid 42 shop (CPython 3.11.2) at 1970-01-01T00:00:02.000000Z: 1 of 1 loop busy; "
            "1 Python thread, 0 without Python code\n"
            "  thread 42 (python3): asyncio loop, blocked by network: waits for 1.50 s in recvfrom "
            "on 10.0.0.5:5432\n"
            "    in fetch (/srv/app.py:7)\n"
            "    task Task-7\n"
            "    Do not.\n"
            "      fetch (/srv/app.py:7)\n");
}

TEST(ProcessDump, PutsThreadsThatDoTheSameTogether) {
  ThreadReport other = thread(45, "else");
  auto text = dump_text(process({thread(44, "fetch"), other, thread(43, "fetch")}),
                        WallClock::fixed(0), false);
  EXPECT_NE(text.find("  threads 43, 44 (python3): waits for 1.50 s"), std::string::npos) << text;
  EXPECT_NE(text.find("  thread 45 (python3)"), std::string::npos) << text;
  EXPECT_EQ(text.find("Do not."), std::string::npos);  // advice is for loops
}

TEST(ProcessDump, SaysWhatIsNotToBeBelieved) {
  ThreadReport moving = thread(42, "fetch");
  moving.stood_still = false;
  ProcessReport report = process({moving});
  report.why_no_frames = "it begins";
  report.has_more = true;
  auto text = dump_text(report, WallClock::fixed(0), false);
  EXPECT_NE(text.find("it ran while it was looked at"), std::string::npos);
  EXPECT_NE(text.find("its frames cannot be read: it begins"), std::string::npos);
  EXPECT_NE(text.find("more threads and frames than are read at once"), std::string::npos);
}

TEST(ProcessDump, JsonHasEveryThread) {
  ThreadReport idle = thread(43, "select");
  idle.loop = LoopKind::kUvloop;
  idle.polls = true;
  ThreadReport holder = thread(44, "spin");
  holder.activity = LS_THREAD_RUNS;
  holder.for_ns = 0;
  holder.has_lock = true;
  auto json = dump_json(process({thread(42, "fetch"), idle, holder}), WallClock::fixed(0), "host");
  EXPECT_EQ(json["type"], "dump");
  EXPECT_EQ(json["threads"].size(), 3U);
  EXPECT_TRUE(json["threads"][0]["loop"].is_null());
  EXPECT_EQ(json["threads"][0]["cause"], "network");
  EXPECT_EQ(json["threads"][0]["culprit"]["function"], "fetch");
  EXPECT_TRUE(json["threads"][0]["advice"].is_null());
  EXPECT_EQ(json["threads"][1]["loop"]["state"], "idle");
  EXPECT_TRUE(json["threads"][1]["cause"].is_null());
  EXPECT_TRUE(json["threads"][1]["culprit"].is_null());
  EXPECT_EQ(json["threads"][2]["state"], "runs");
  EXPECT_TRUE(json["threads"][2]["seconds"].is_null());
  EXPECT_EQ(json["threads"][2]["has_gil"], true);
}

}  // namespace
}  // namespace loopsight
