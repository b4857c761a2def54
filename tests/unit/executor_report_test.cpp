// A saturated thread pool from its record to what is written of it.
#include "daemon/attribute/executor_report.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "daemon/event/codec.h"
#include "daemon/pipeline.h"
#include "daemon/sink/json_sink.h"
#include "daemon/sink/metrics.h"
#include "daemon/sink/text_sink.h"

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

PoolState sample(uint64_t time_ns = 5 * kSecond, uint64_t wait_ns = 2 * kSecond) {
  return {.time_ns = time_ns,
          .tgid = 42,
          .pools = {{.id = 0x7f00'1234'5678,
                     .name = "asyncio",
                     .threads = 6,
                     .busy = 6,
                     .max_workers = 6,
                     .queued = 54,
                     .oldest_wait_ns = wait_ns,
                     .frames = {{"wait", "/usr/lib/python3.11/threading.py", 320},
                                {"fetch", "/srv/app.py", 7}},
                     .alike = 5}},
          .cpus_used = 0.01,
          .cpus_quota = std::nullopt};
}

Saturation saturation() {
  return {.tgid = 42,
          .start_ns = 3 * kSecond,
          .end_ns = 5 * kSecond,
          .in_progress = true,
          .pool = sample().pools[0],
          .cpus_used = 0.01};
}

WorkloadProcess process() {
  return {.workload = "app.py", .worker = 1, .comm = "python3", .python = "3.11.2"};
}

TEST(PoolRecord, ComesBackAsItWas) {
  auto event = decode(encode(sample()));
  ASSERT_TRUE(event);
  const auto& back = std::get<PoolState>(*event);
  EXPECT_EQ(back.time_ns, 5 * kSecond);
  EXPECT_EQ(back.tgid, 42U);
  EXPECT_EQ(back.cpus_used, 0.01);
  EXPECT_FALSE(back.cpus_quota);
  ASSERT_EQ(back.pools.size(), 1U);
  EXPECT_EQ(back.pools[0].id, 0x7f00'1234'5678U);
  EXPECT_EQ(back.pools[0].name, "asyncio");
  EXPECT_EQ(back.pools[0].threads, 6U);
  EXPECT_EQ(back.pools[0].busy, 6U);
  EXPECT_EQ(back.pools[0].max_workers, 6U);
  EXPECT_EQ(back.pools[0].queued, 54U);
  EXPECT_EQ(back.pools[0].oldest_wait_ns, 2 * kSecond);
  EXPECT_EQ(back.pools[0].alike, 5U);
  ASSERT_EQ(back.pools[0].frames.size(), 2U);
  EXPECT_EQ(back.pools[0].frames[1].function, "fetch");
  EXPECT_EQ(back.pools[0].frames[1].line, 7U);
  PoolState unknown = sample();
  unknown.pools[0].queued.reset();
  unknown.pools[0].max_workers.reset();
  event = decode(encode(unknown));
  ASSERT_TRUE(event);
  EXPECT_FALSE(std::get<PoolState>(*event).pools[0].queued);
  EXPECT_FALSE(std::get<PoolState>(*event).pools[0].max_workers);
}

TEST(PoolRecord, RefusesWhatCannotBe) {
  PoolState state = sample();
  state.pools[0].busy = 7;
  EXPECT_FALSE(decode(encode(state)));
  state = sample(1 * kSecond, 2 * kSecond);
  EXPECT_FALSE(decode(encode(state)));
  auto bytes = encode(sample());
  bytes[sizeof(ls_header)] = std::byte{'['};
  EXPECT_FALSE(decode(bytes));
}

TEST(PoolRecord, BoundsWhatItHolds) {
  PoolState state = sample();
  state.pools.assign(300, state.pools[0]);
  state.pools[0].frames.assign(100, state.pools[0].frames[0]);
  auto event = decode(encode(state));
  ASSERT_TRUE(event);
  EXPECT_LE(std::get<PoolState>(*event).pools.size(), 256U);
  EXPECT_LE(std::get<PoolState>(*event).pools[0].frames.size(), 64U);
}

TEST(ExecutorReport, NamesTheUsersFunction) {
  ExecutorReport report = report_saturation(saturation(), process(), CodeJudge());
  ASSERT_TRUE(report.culprit);
  EXPECT_EQ(report.culprit->function, "fetch");
  EXPECT_EQ(report.culprit->module, "app");
  EXPECT_NE(report.advice.find("fetch, in wait"), std::string::npos) << report.advice;
  EXPECT_NE(report.advice.find("set_default_executor"), std::string::npos);
}

TEST(ExecutorReport, AdvisesByWhatTheThreadsLack) {
  Saturation one = saturation();
  one.pool.name = "ThreadPoolExecutor-0";
  EXPECT_NE(report_saturation(one, process(), CodeJudge()).advice.find("max_workers"),
            std::string::npos);
  one.cpus_used = 0.97;
  EXPECT_NE(report_saturation(one, process(), CodeJudge()).advice.find("ProcessPoolExecutor"),
            std::string::npos);
  one.cpus_used = 0.49;
  one.cpus_quota = 0.5;
  EXPECT_NE(report_saturation(one, process(), CodeJudge()).advice.find("cpu.max"),
            std::string::npos);
  one.cpus_used = 0.1;
  EXPECT_NE(report_saturation(one, process(), CodeJudge()).advice.find("allows 0.50 CPUs"),
            std::string::npos);
}

TEST(ExecutorReport, CleansWhatTheProcessSays) {
  Saturation one = saturation();
  one.pool.name = "evil\n\x1b[31m\xFF" + std::string(1000, 'x');
  one.pool.frames = {{"f\n", "/a\x01.py", 1}};
  ExecutorReport report = report_saturation(one, process(), CodeJudge());
  EXPECT_LE(report.pool.size(), 131U);
  for (const std::string& text :
       {report.pool, report.frames[0].function, report.frames[0].file, report.advice})
    for (char c : text) EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20) << text;
}

TEST(ExecutorJson, HasEveryKey) {
  auto json = executor_json(report_saturation(saturation(), process(), CodeJudge()),
                            WallClock::fixed(0), "h");
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"type",
                                            "time",
                                            "monotonic_ns",
                                            "host",
                                            "workload",
                                            "worker",
                                            "pid",
                                            "comm",
                                            "container",
                                            "unit",
                                            "python",
                                            "pool",
                                            "in_progress",
                                            "duration_seconds",
                                            "threads",
                                            "busy",
                                            "max_workers",
                                            "queued",
                                            "oldest_wait_seconds",
                                            "culprit",
                                            "frames",
                                            "threads_alike",
                                            "cpus_used",
                                            "cpus_quota",
                                            "advice",
                                            "workload_source"}));
  EXPECT_EQ(json["type"], "executor");
  EXPECT_EQ(json["time"], "1970-01-01T00:00:03.000000Z");
  EXPECT_EQ(json["queued"], 54);
  EXPECT_EQ(json["oldest_wait_seconds"], 2.0);
  EXPECT_EQ(json["duration_seconds"], 2.0);
  EXPECT_TRUE(json["cpus_quota"].is_null());
}

TEST(ExecutorText, SaysItInThreeLines) {
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  TextSink sink(out, WallClock::fixed(0), {});
  ExecutorReport report = report_saturation(saturation(), process(), CodeJudge());
  report.advice = "Do not.";
  EXPECT_TRUE(sink.on_executor(report));
  fclose(out);
  EXPECT_EQ(std::string(text, size),
            "00:00:03.000  app.py[1] thread pool asyncio is saturated for 2.00 s: 6 of 6 threads "
            "busy, 54 jobs queued, the oldest for 2.00 s\n"
            "              5 of them in fetch (/srv/app.py:7)\n"
            "              Do not.\n");
  std::free(text);
}

// Counts what reaches a sink.
class Counting : public Sink {
 public:
  Result<void> on_stall(const StallReport&) override { return {}; }
  Result<void> on_executor(const ExecutorReport& report) override {
    reports.push_back(report);
    return {};
  }
  Result<void> on_summary(const Summary&) override { return {}; }
  std::vector<ExecutorReport> reports;
};

TEST(ExecutorPipeline, LeadsFromRecordsToReportsAndMetrics) {
  Counting sink;
  Publication publication(WallClock::fixed(0), "h");
  Pipeline pipeline(50'000'000, {&sink, &publication});
  ASSERT_TRUE(pipeline.feed(encode(
      ProcessFacts{.tgid = 42, .start_ticks = 1, .is_python = true, .program = "app.py"}, 1)));
  ASSERT_TRUE(pipeline.feed(encode(sample())));
  ASSERT_EQ(sink.reports.size(), 1U);
  EXPECT_EQ(sink.reports[0].process.workload, "app.py");

  publication.publish({.totals = pipeline.totals()});
  std::string page = metrics_page(Metrics(publication, "1"));
  for (const char* line : {"loopsight_executor_threads{workload=\"app.py\",state=\"busy\"} 6\n",
                           "loopsight_executor_threads{workload=\"app.py\",state=\"idle\"} 0\n",
                           "loopsight_executor_queued{workload=\"app.py\"} 54\n",
                           "loopsight_executor_saturated_seconds_total{workload=\"app.py\"} 2\n"})
    EXPECT_NE(page.find(line), std::string::npos) << line << page;

  ls_process exit{};
  exit.header = {.kind = LS_KIND_PROCESS_EXIT,
                 .size = sizeof(exit),
                 .time_ns = 6 * kSecond,
                 .tgid = 42,
                 .tid = 42};
  ASSERT_TRUE(pipeline.feed(std::as_bytes(std::span(&exit, 1))));
  ASSERT_EQ(sink.reports.size(), 2U);
  EXPECT_FALSE(sink.reports[1].saturation.in_progress);
  EXPECT_EQ(sink.reports[1].process.workload, "app.py") << "named before it is forgotten";
  ASSERT_EQ(publication.executors().size(), 1U) << "its newest report alone";
  EXPECT_EQ(publication.executors()[0]["in_progress"], false);
  publication.publish({.totals = pipeline.totals()});
  page = metrics_page(Metrics(publication, "1"));
  EXPECT_NE(page.find("loopsight_executor_threads{workload=\"app.py\",state=\"busy\"} 0\n"),
            std::string::npos);
  EXPECT_NE(page.find("loopsight_executor_saturated_seconds_total{workload=\"app.py\"} 3\n"),
            std::string::npos);
}

}  // namespace
}  // namespace loopsight
