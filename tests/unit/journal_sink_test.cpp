#include "daemon/sink/journal_sink.h"

#include <gtest/gtest.h>

#include <map>

namespace loopsight {
namespace {

TEST(JournalFields, SayWhatIsKnownAndClean) {
  StallReport report;
  report.process = {.workload = "shop", .worker = 3, .unit = "shop.service"};
  report.stall = {
      .tgid = 7, .tid = 8, .kind = LoopKind::kUvloop, .start_ns = 5'000'000, .end_ns = 155'200'000};
  report.stall.causes[LS_CAUSE_RUN_QUEUE] = 150'200'000;
  report.cause = LS_CAUSE_RUN_QUEUE;
  report.host_to_blame = true;
  report.culprit = Frame{.function = "f\nMESSAGE=x", .module = "app", .file = "a.py", .line = 7};
  report.wait = WaitReport{.syscall = "read"};
  auto list = journal_fields(report);
  std::map<std::string, std::string> fields(list.begin(), list.end());
  EXPECT_EQ(fields.size(), list.size());
  EXPECT_EQ(fields["LOOPSIGHT_WORKLOAD"], "shop");
  EXPECT_EQ(fields["LOOPSIGHT_CAUSE"], "run_queue");
  EXPECT_EQ(fields["LOOPSIGHT_CAUSE_RUN_QUEUE_USEC"], "150200");
  EXPECT_EQ(fields["LOOPSIGHT_DURATION_USEC"], "150200");
  EXPECT_EQ(fields["LOOPSIGHT_BLAME"], "host");
  EXPECT_EQ(fields["LOOPSIGHT_CULPRIT"], "app:f?MESSAGE=x");
  EXPECT_EQ(fields["LOOPSIGHT_LINE"], "7");
  EXPECT_FALSE(fields.contains("OBJECT_PID"));  // journald would add the whole command line
  EXPECT_EQ(fields["MESSAGE"], "shop[3] stalled for 150 ms: run_queue in f?MESSAGE=x (a.py:7)");
  EXPECT_EQ(fields.count("LOOPSIGHT_WAIT_TARGET"), 0U);
  EXPECT_EQ(fields.count("LOOPSIGHT_CONTAINER"), 0U);
}

}  // namespace
}  // namespace loopsight
