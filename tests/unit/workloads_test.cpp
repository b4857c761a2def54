#include "daemon/attribute/workloads.h"

#include <gtest/gtest.h>

#include <chrono>

namespace loopsight {
namespace {

ProcessFacts facts(uint32_t tgid, const std::string& program) {
  return {
      .tgid = tgid, .is_python = true, .python = "3.11.2", .comm = "python3", .program = program};
}

TEST(WorkloadName, PrefersContainerThenUnitThenProgram) {
  ProcessFacts one = facts(1, "app.py");
  EXPECT_EQ(workload_name(one), "app.py");
  one.unit = "api.service";
  EXPECT_EQ(workload_name(one), "api.service");
  one.container = std::string(64, 'b');
  EXPECT_EQ(workload_name(one), "bbbbbbbbbbbb");
  one.container_name = "prod/shop/web";
  EXPECT_EQ(workload_name(one), "prod/shop/web");
  one.configured_name = "shop";
  EXPECT_EQ(workload_name(one), "shop");
  EXPECT_EQ(workload_name(ProcessFacts{}), "unknown");
}

TEST(WorkloadName, SaysHowItIsKnown) {
  ProcessFacts one = facts(1, "app.py");
  EXPECT_EQ(workload_of(one).source, WorkloadSource::kArgv);
  one.unit = "api.service";
  EXPECT_EQ(workload_of(one).source, WorkloadSource::kUnit);
  one.container = std::string(64, 'b');
  EXPECT_EQ(workload_of(one).source, WorkloadSource::kContainer);
  one.configured_name = "shop";
  EXPECT_EQ(workload_of(one).source, WorkloadSource::kConfiguration);
  EXPECT_STREQ(name_of(WorkloadSource::kConfiguration), "configuration");
  EXPECT_STREQ(name_of(WorkloadSource::kArgv), "argv");
}

TEST(WorkloadName, OfAProgramIsNoUnitsOrContainers) {
  for (const char* name : {"nginx.service", "a.scope", "x.slice", "0123456789ab"})
    EXPECT_EQ(workload_name(facts(1, name)), std::string(name) + " (argv)");
  EXPECT_EQ(workload_name(facts(1, std::string(64, 'c'))), std::string(64, 'c') + " (argv)");
  EXPECT_EQ(workload_name(facts(1, "nginx.service.py")), "nginx.service.py");
}

TEST(WorkloadName, IsCleaned) { EXPECT_EQ(workload_name(facts(1, "a\nb\xFF")), "a?b\xEF\xBF\xBD"); }

TEST(Workloads, GivesTheSmallestFreeNumber) {
  Workloads workloads;
  for (uint32_t tgid : {10, 11, 12}) workloads.on_facts(facts(tgid, "gunicorn"));
  workloads.on_facts(facts(20, "other"));
  EXPECT_EQ(workloads.find(10).worker, 0U);
  EXPECT_EQ(workloads.find(12).worker, 2U);
  EXPECT_EQ(workloads.find(20).worker, 0U);
  workloads.on_exit(11);
  workloads.on_facts(facts(13, "gunicorn"));
  EXPECT_EQ(workloads.find(13).worker, 1U);
}

TEST(Workloads, DescribesAProcessAnewAfterItsExec) {
  Workloads workloads;
  workloads.on_facts(facts(10, "a"));
  workloads.on_facts(facts(10, "b"));
  EXPECT_EQ(workloads.find(10).workload, "b");
  EXPECT_EQ(workloads.size(), 1U);
  workloads.on_facts(facts(11, "a"));
  EXPECT_EQ(workloads.find(11).worker, 0U);
}

TEST(Workloads, KnowsWhatItDoesNotKnow) {
  Workloads workloads;
  workloads.on_exit(5);
  EXPECT_EQ(workloads.find(5).workload, "unknown");
}

// A recording may describe as many as it likes; to search for each from the first took minutes.
TEST(Workloads, ManyProcessesOfOneWorkloadTakeNoSearch) {
  Workloads workloads;
  auto start = std::chrono::steady_clock::now();
  for (uint32_t tgid = 1; tgid <= 100'000; tgid++)
    workloads.on_facts({.tgid = tgid, .is_python = true, .program = "app.py"});
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 20);
  EXPECT_EQ(workloads.find(100'000).worker, 99'999U);
  workloads.on_exit(500);
  workloads.on_facts({.tgid = 500, .is_python = true, .program = "app.py"});
  EXPECT_EQ(workloads.find(500).worker, 499U);
}

}  // namespace
}  // namespace loopsight
