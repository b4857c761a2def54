#include "daemon/sink/metrics.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "tests/bench/many_workloads.h"

namespace loopsight {
namespace {

Snapshot sample() {
  Snapshot snapshot;
  LoopProgress progress{.loop = {1, 1}, .tgid = 5, .tid = 5, .kind = LoopKind::kAsyncio};
  progress.iterations = 6;
  progress.buckets[0] = 4;
  progress.buckets[7] = 1;
  progress.buckets[LS_MAX_BUCKETS - 1] = 1;
  progress.busy[LS_CAUSE_CPU] = 1'500'000'000;
  progress.idle_ns = 250'000'000;
  progress.stalled_ns = 70'000'000;
  WorkloadProcess process{.workload = "a\"b\\c\nd", .python = "3.11.2"};
  progress.polls = 10;
  progress.zero_polls = 3;
  progress.ready = 40;
  progress.late_buckets[6] = 2;
  progress.late_ns = 70'000'000;
  progress.gil_waits = 4;
  snapshot.totals.on_progress(progress, process, 1);
  Frame holder{.function = "spin", .module = "app"};
  snapshot.totals.on_lock_wait(20'000'000, &holder, process);
  StallReport report{.process = process, .cause = LS_CAUSE_CPU};
  report.stall = {.start_ns = 0, .end_ns = 80'000'000};
  report.stall.delayed = Delayed{.events_at_least = 1, .events = 5, .ns = 250'000'000};
  snapshot.totals.on_stall(report);
  snapshot.probes = {{"sched_switch", true}, {"poll_enter", false}};
  snapshot.programs = {{.program = "sched_switch", .runs = 3, .run_time_ns = 600}};
  snapshot.lost = {{"ring_full", 2}};
  snapshot.discarded = {{"not_a_loop", 1}};
  return snapshot;
}

std::string page() {
  Publication publication(WallClock::fixed(0), "h");
  publication.publish(sample());
  return metrics_page(Metrics(publication, "1.2.3"));
}

TEST(Metrics, ShowsTheHistogramCumulated) {
  std::string text = page();
  EXPECT_NE(text.find("worker=\"0\",le=\"0.0005\"} 4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("le=\"0.1\"} 5\n"), std::string::npos);
  EXPECT_NE(text.find("le=\"10\"} 5\n"), std::string::npos);
  EXPECT_NE(text.find("le=\"+Inf\"} 6\n"), std::string::npos);
  EXPECT_NE(
      text.find(
          "loopsight_loop_iteration_seconds_sum{workload=\"a\\\"b\\\\c\\nd\",worker=\"0\"} 1.5"),
      std::string::npos);
}

TEST(Metrics, StartsEveryCauseAtZero) {
  std::string text = page();
  for (const char* cause : kCauseNames) {
    std::string label = std::string("cause=\"") + cause + "\"} ";
    EXPECT_NE(text.find(label), std::string::npos) << cause;
  }
  EXPECT_NE(text.find("cause=\"disk\"} 0\n"), std::string::npos);
}

TEST(Metrics, HasNoPidNoAddressAndOnlyKnownLabels) {
  std::set<std::string> labels;
  std::string text = page();
  std::regex label("[{,]([a-z_]+)=\"");
  for (std::sregex_iterator found(text.begin(), text.end(), label), end; found != end; ++found)
    labels.insert((*found)[1]);
  EXPECT_EQ(labels, (std::set<std::string>{"cause", "culprit", "holder", "kernel", "le", "loop",
                                           "probe", "program", "python", "reason", "version",
                                           "wait", "worker", "workload"}));
}

TEST(Metrics, ShowsWhoWaitedAndForTheLock) {
  std::string text = page();
  auto holds = [&](const std::string& line) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  };
  std::string name = "{workload=\"a\\\"b\\\\c\\nd\"";
  holds("loopsight_timer_lateness_seconds_count" + name + "} 2\n");
  holds("loopsight_timer_lateness_seconds_sum" + name + "} 0.07");
  holds("loopsight_delayed_events_total" + name + "} 5\n");
  holds("loopsight_delayed_event_seconds_total" + name + "} 0.25\n");
  holds("loopsight_gil_waits_total" + name + "} 4\n");
  holds("loopsight_gil_wait_seconds_total" + name + ",holder=\"app:spin\"} 0.02\n");
  holds("loopsight_loop_polls_total" + name + ",worker=\"0\",wait=\"yes\"} 7\n");
  holds("loopsight_loop_polls_total" + name + ",worker=\"0\",wait=\"no\"} 3\n");
  holds("loopsight_loop_ready_callbacks" + name + ",worker=\"0\"} 40\n");
}

std::string page_of(uint32_t workloads, uint32_t workers, uint32_t culprits) {
  Snapshot snapshot;
  snapshot.totals = many_workloads(workloads, workers, culprits);
  snapshot.discarded = {{"folded_label", snapshot.totals.folded_labels()}};
  Publication publication(WallClock::fixed(0), "h", {.stalls = 1});
  publication.publish(std::move(snapshot));
  return metrics_page(Metrics(publication, "1"));
}

size_t count_of(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) count++;
  return count;
}

TEST(Metrics, HoldsThreeHundredWorkloadsOfFourWorkers) {
  std::string text = page_of(300, 4, 40);
  EXPECT_EQ(count_of(text, "loopsight_loop_idle_seconds_total{"), 300U * 4);
  EXPECT_EQ(count_of(text, "loopsight_loop_busy_seconds_total{"), 300U * 4 * LS_CAUSES);
  EXPECT_EQ(count_of(text, "loopsight_loop_iteration_seconds_bucket{"), 300U * 4 * LS_MAX_BUCKETS);
  // 32 culprits of each; the other eight of forty, each with a cause of its own, are "other".
  EXPECT_EQ(count_of(text, "loopsight_stall_seconds_total{"), 300U * (32 + 8));
  EXPECT_EQ(count_of(text, "culprit=\"other\"}"), 300U * 8);
  EXPECT_NE(text.find("loopsight_discarded_total{reason=\"folded_label\"} 2400\n"),
            std::string::npos);
  EXPECT_LT(text.size(), 10'000'000U);
}

TEST(Metrics, IsBoundedWhateverTheHostRuns) {
  std::string text = page_of(700, 10, 60);
  TotalsLimits limits;
  size_t workloads = limits.workloads + 1;
  EXPECT_LE(count_of(text, "loopsight_loop_idle_seconds_total{"), limits.all_workers + workloads);
  EXPECT_EQ(count_of(text, "loopsight_stalls_total{"), workloads * LS_CAUSES);
  EXPECT_LE(count_of(text, "loopsight_stall_seconds_total{"),
            workloads * (limits.culprits + LS_CAUSES));
  EXPECT_GT(count_of(text, "workload=\"other\""), 0U);
  EXPECT_GT(count_of(text, "worker=\"other\""), 0U);
  EXPECT_EQ(text.find("production-service-600"), std::string::npos);
}

TEST(Metrics, ShowsARunningStallProbesAndItsOwnCost) {
  std::string text = page();
  EXPECT_NE(text.find("loopsight_loop_stalled_seconds{"), std::string::npos);
  EXPECT_NE(text.find("} 0.0"), std::string::npos);
  EXPECT_NE(text.find("loopsight_probe_attached{probe=\"poll_enter\"} 0"), std::string::npos);
  EXPECT_NE(text.find("loopsight_bpf_runs_total{program=\"sched_switch\"} 3"), std::string::npos);
  EXPECT_NE(text.find("loopsight_events_lost_total{reason=\"ring_full\"} 2"), std::string::npos);
  EXPECT_NE(text.find("loopsight_build_info{version=\"1.2.3\""), std::string::npos);
  EXPECT_NE(text.find("process_resident_memory_bytes"), std::string::npos);
}

}  // namespace
}  // namespace loopsight
