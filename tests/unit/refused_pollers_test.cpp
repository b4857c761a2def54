#include "daemon/live/refused_pollers.h"

#include <asm/unistd_64.h>
#include <gtest/gtest.h>

namespace loopsight {
namespace {

PollerSeen poller(uint32_t tgid, uint32_t tid = 1) {
  PollerSeen seen{};
  seen.record.header.tgid = tgid;
  seen.record.header.tid = tid;
  seen.record.poll_syscall = __NR_poll;
  return seen;
}

TEST(RefusedPollers, CountsWhatIsAlikeAndKeepsWhatIsNot) {
  RefusedPollers refused;
  std::vector<Frame> frames = {{.function = "wait", .file = "/srv/a.py", .line = 3}};
  refused.on_refused(poller(7), "why", frames);
  refused.on_refused(poller(7), "why", frames);
  frames[0].line = 4;
  refused.on_refused(poller(7), "why", frames);
  refused.on_refused(poller(7), "another reason", {});
  auto all = refused.list();
  ASSERT_EQ(all.size(), 1U);
  ASSERT_EQ(all[0].pollers.size(), 3U);
  EXPECT_EQ(all[0].pollers[0].times, 2U);
  EXPECT_EQ(all[0].pollers[0].syscall, "poll");
}

TEST(RefusedPollers, NamesAProcessThatNeverPolled) {
  RefusedPollers refused;
  refused.on_process({.tgid = 9, .is_python = true, .python = "3.11.2", .program = "job\x1b.py"});
  auto all = refused.list();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].pid, 9U);
  EXPECT_EQ(all[0].program.find('\x1b'), std::string::npos);
  EXPECT_TRUE(all[0].pollers.empty());
}

TEST(RefusedPollers, IsBounded) {
  RefusedPollers refused;
  for (uint32_t i = 0; i < 1000; i++) {
    refused.on_refused(poller(7), "reason " + std::to_string(i), {});
    refused.on_refused(poller(1000 + i), "why", {});
  }
  EXPECT_LE(refused.list().size(), RefusedPollers::kMostProcesses);
  for (const NoLoop& process : refused.list())
    EXPECT_LE(process.pollers.size(), RefusedPollers::kMostOfOne);
}

}  // namespace
}  // namespace loopsight
