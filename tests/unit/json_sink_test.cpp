#include "daemon/sink/json_sink.h"

#include <gtest/gtest.h>

#include <set>

namespace loopsight {
namespace {

StallReport sample() {
  StallReport report;
  report.process = {.workload = "uvicorn.service",
                    .worker = 2,
                    .comm = "uvicorn",
                    .python = "3.11.2",
                    .unit = "uvicorn.service"};
  report.stall = {.loop = {1, 1},
                  .tgid = 4242,
                  .tid = 4243,
                  .kind = LoopKind::kUvloop,
                  .start_ns = 1'000'000'000,
                  .end_ns = 1'150'200'000};
  report.stall.causes[LS_CAUSE_SLEEP] = 150'100'000;
  report.stall.causes[LS_CAUSE_CPU] = 100'000;
  report.cause = LS_CAUSE_SLEEP;
  report.wait = WaitReport{.syscall = "clock_nanosleep", .duration_ns = 150'100'000};
  report.advice = "Sleep less.";
  return report;
}

TEST(StallJson, HasEveryKeyOfTheContractInItsOrder) {
  auto json = stall_json(sample(), WallClock::fixed(0), "h");
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  // What is beyond the contract comes after it.
  EXPECT_EQ(keys, (std::vector<std::string>{"type",
                                            "time",
                                            "monotonic_ns",
                                            "host",
                                            "workload",
                                            "worker",
                                            "pid",
                                            "tid",
                                            "comm",
                                            "container",
                                            "unit",
                                            "python",
                                            "loop",
                                            "in_progress",
                                            "duration_seconds",
                                            "cause",
                                            "blame",
                                            "causes",
                                            "wait",
                                            "culprit",
                                            "leaf",
                                            "frames",
                                            "contributors",
                                            "gil_holder",
                                            "gc",
                                            "delayed",
                                            "advice",
                                            "frames_cut",
                                            "task",
                                            "callbacks",
                                            "import",
                                            "call",
                                            "functions",
                                            "inferred",
                                            "pod",
                                            "gil_waits",
                                            "waited_for",
                                            "at_least",
                                            "workload_source",
                                            "frames_left_out",
                                            "system",
                                            "interpreter_lock_held"}));
}

TEST(StallJson, SaysWhatIsKnownAndNullForTheRest) {
  auto json = stall_json(sample(), WallClock::fixed(0), "h");
  EXPECT_EQ(json["time"], "1970-01-01T00:00:01.000000Z");
  EXPECT_EQ(json["monotonic_ns"], 1'000'000'000U);
  EXPECT_EQ(json["loop"], "uvloop");
  EXPECT_DOUBLE_EQ(json["duration_seconds"].get<double>(), 0.1502);
  EXPECT_EQ(json["cause"], "sleep");
  EXPECT_EQ(json["blame"], "code");
  EXPECT_DOUBLE_EQ(json["causes"]["sleep"].get<double>(), 0.1501);
  EXPECT_EQ(json["causes"].size(), 2U);
  EXPECT_EQ(json["wait"]["syscall"], "clock_nanosleep");
  EXPECT_TRUE(json["wait"]["target"].is_null());
  EXPECT_TRUE(json["container"].is_null());
  EXPECT_TRUE(json["culprit"].is_null());
  EXPECT_TRUE(json["frames"].is_array());
}

TEST(StallJson, ShowsWhatTheFramesTold) {
  StallReport report = sample();
  Frame frame{.function = "f", .module = "app", .file = "/srv/app.py", .line = 7};
  frame.expression = "time.sleep(1)";
  report.culprit = frame;
  report.frames = {frame};
  report.callee = "sleep";
  report.frames_cut = true;
  report.task = "Task-7";
  report.callbacks = ReadyCallbacks{.count = 300, .largest_share = 0.25};
  report.gc = GcReport{.ns = 2'000'000};
  report.moved = {{.from = LS_CAUSE_CPU, .to = LS_CAUSE_GC, .ns = 2'000'000}};
  auto json = stall_json(report, WallClock::fixed(0), "h");
  EXPECT_EQ(json["culprit"]["module"], "app");
  EXPECT_EQ(json["culprit"]["expression"], "time.sleep(1)");
  EXPECT_EQ(json["leaf"]["c_function"], "sleep");
  EXPECT_EQ(json["frames"][0]["line"], 7);
  EXPECT_EQ(json["culprit"]["rule"], "leaf");
  EXPECT_EQ(json["frames_cut"], true);
  EXPECT_TRUE(json["frames_left_out"].is_null());
  EXPECT_EQ(json["task"], "Task-7");
  EXPECT_EQ(json["callbacks"]["ready"], 300);
  EXPECT_DOUBLE_EQ(json["gc"]["seconds"].get<double>(), 0.002);
  EXPECT_TRUE(json["gc"]["generation"].is_null());
  EXPECT_EQ(json["inferred"], nlohmann::json::array({"gc"}));
}

TEST(StallJson, ShowsWhatPythonsOwnProbesTold) {
  StallReport report = sample();
  report.gc = GcReport{.generation = 2, .ns = 3'000'000, .count = 4};
  report.import = ImportReport{.name = "xml.dom", .ns = 5'000'000};
  report.call = CallReport{.event = "socket.getaddrinfo", .argument = "db.internal"};
  report.stall.calls = 12;
  report.functions = {{.function = "parse", .file = "/srv/app.py", .line = 3, .calls = 10}};
  auto json = stall_json(report, WallClock::fixed(0), "h");
  EXPECT_EQ(json["gc"]["generation"], 2);
  EXPECT_EQ(json["gc"]["pauses"], 4);
  EXPECT_EQ(json["import"]["name"], "xml.dom");
  EXPECT_EQ(json["call"]["event"], "socket.getaddrinfo");
  EXPECT_EQ(json["call"]["argument"], "db.internal");
  EXPECT_EQ(json["functions"]["calls"], 12);
  EXPECT_EQ(json["functions"]["most_called"][0]["calls"], 10);
  EXPECT_EQ(json["inferred"], nlohmann::json::array());
}

TEST(StallJson, SaysWhoWaited) {
  StallReport report = sample();
  EXPECT_TRUE(stall_json(report, WallClock::fixed(0), "h")["delayed"].is_null());
  report.stall.delayed = Delayed{.events_at_least = 40,
                                 .events = 48,
                                 .ns = 7'410'000'000,
                                 .longest_ns = 150'000'000,
                                 .timer_late_ns = 130'000'000};
  auto delayed = stall_json(report, WallClock::fixed(0), "h")["delayed"];
  EXPECT_EQ(delayed["events"], 48);
  EXPECT_EQ(delayed["events_at_least"], 40);
  EXPECT_EQ(delayed["exact"], false);
  EXPECT_DOUBLE_EQ(delayed["seconds"].get<double>(), 7.41);
  EXPECT_DOUBLE_EQ(delayed["longest_seconds"].get<double>(), 0.15);
  EXPECT_DOUBLE_EQ(delayed["timer_lateness_seconds"].get<double>(), 0.13);
}

TEST(StallJson, CountsTheWaitsForTheInterpreterLock) {
  StallReport report = sample();
  EXPECT_TRUE(stall_json(report, WallClock::fixed(0), "h")["gil_waits"].is_null());
  report.gil_waits = GilWaits{.count = 30, .convoy = true};
  auto waits = stall_json(report, WallClock::fixed(0), "h")["gil_waits"];
  EXPECT_EQ(waits["count"], 30);
  EXPECT_EQ(waits["convoy"], true);
}

TEST(StallJson, BlamesTheHost) {
  StallReport report = sample();
  report.host_to_blame = true;
  EXPECT_EQ(stall_json(report, WallClock::fixed(0), "h")["blame"], "host");
}

TEST(ToLine, IsOneLineOfValidUtf8WhateverTheNames) {
  StallReport report = sample();
  report.process.comm = "a\n\xFF\"";
  std::string line = to_line(stall_json(report, WallClock::fixed(0), "h\xC3"));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  auto back = nlohmann::json::parse(line);
  EXPECT_EQ(back["comm"], "a\n\xEF\xBF\xBD\"");
}

TEST(SummaryJson, HasTheContractsKeys) {
  Summary summary;
  summary.iterations = 5;
  summary.busy[LS_CAUSE_CPU] = 2'000'000'000;
  summary.loops.push_back({.workload = "a", .kind = "asyncio", .pid = 1, .tid = 1});
  auto json = summary_json(summary);
  for (const char* key :
       {"type", "iterations", "stalls", "lost", "busy_seconds", "idle_seconds", "causes", "loops"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["busy_seconds"], 2.0);
  EXPECT_EQ(json["loops"][0]["workload"], "a");
  EXPECT_EQ(json["loops"][0]["state"], "not_running");
}

}  // namespace
}  // namespace loopsight
