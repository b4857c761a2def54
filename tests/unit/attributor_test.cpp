#include "daemon/attribute/attributor.h"

#include <asm/unistd_64.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <set>

#include "daemon/attribute/advice.h"

namespace loopsight {
namespace {

ls_wait wait_on(uint32_t object) {
  ls_wait wait{};
  wait.object = object;
  wait.fd = 3;
  wait.syscall = __NR_read;
  return wait;
}

void set_name(ls_wait& wait, int index, const char* name) {
  std::strncpy(wait.names[index], name, LS_PATH_NAME_SIZE - 1);
}

TEST(DescribeTarget, WritesAddresses) {
  ls_wait wait = wait_on(LS_OBJECT_SOCKET);
  wait.family = AF_INET;
  wait.port = 5432;
  wait.address[0] = 10;
  wait.address[3] = 5;
  EXPECT_EQ(describe_target(wait), "10.0.0.5:5432");
  wait.family = AF_INET6;
  std::memset(wait.address, 0, sizeof(wait.address));
  wait.address[15] = 1;
  EXPECT_EQ(describe_target(wait), "[::1]:5432");
  wait.port = 0;  // not connected
  EXPECT_EQ(describe_target(wait), std::nullopt);
  wait.family = AF_UNIX;
  EXPECT_EQ(describe_target(wait), "unix socket");
  set_name(wait, 0, "/run/pg.sock");
  EXPECT_EQ(describe_target(wait), "unix:/run/pg.sock");
}

TEST(DescribeTarget, JoinsPathsFromTheInnermostNameOut) {
  ls_wait wait = wait_on(LS_OBJECT_FILE);
  set_name(wait, 0, "x.db");
  set_name(wait, 1, "lib");
  set_name(wait, 2, "var");
  EXPECT_EQ(describe_target(wait), "/var/lib/x.db");
  for (int i = 0; i < LS_PATH_NAMES; i++) set_name(wait, i, "d");
  EXPECT_EQ(describe_target(wait), ".../d/d/d/d/d/d/d/d");
  EXPECT_EQ(describe_target(wait_on(LS_OBJECT_FILE)), std::nullopt);
}

TEST(DescribeTarget, CleansNames) {
  ls_wait wait = wait_on(LS_OBJECT_FILE);
  set_name(wait, 0, "a\n\x1b[2J");
  EXPECT_EQ(describe_target(wait), "/a??[2J");
}

TEST(DescribeTarget, NamesChildren) {
  ls_wait wait = wait_on(LS_OBJECT_NONE);
  wait.cause = LS_CAUSE_SUBPROCESS;
  wait.syscall = __NR_wait4;
  wait.args[0] = 77;
  EXPECT_EQ(describe_target(wait), "pid 77");
  wait.args[0] = static_cast<uint64_t>(-1);
  EXPECT_EQ(describe_target(wait), "any child");
  wait.syscall = __NR_vfork;
  EXPECT_EQ(describe_target(wait), std::nullopt);
}

TEST(SyscallName, KnowsThisProcessorsNumbers) {
  EXPECT_EQ(syscall_name(__NR_clock_nanosleep), "clock_nanosleep");
  EXPECT_EQ(syscall_name(99999), "syscall 99999");
}

TEST(Attributor, TakesTheLargestCause) {
  Workloads workloads;
  CodeObjects codes;
  Attributor attributor(workloads, codes);
  Stall stall{.start_ns = 0, .end_ns = 100};
  stall.causes[LS_CAUSE_CPU] = 40;
  stall.causes[LS_CAUSE_DISK] = 60;
  EXPECT_EQ(attributor.on_stall(stall).cause, static_cast<uint32_t>(LS_CAUSE_DISK));
  EXPECT_FALSE(attributor.on_stall(stall).host_to_blame);
}

TEST(Attributor, BlamesTheHostForWhatIsItsDoing) {
  Workloads workloads;
  CodeObjects codes;
  Attributor attributor(workloads, codes);
  std::set<uint32_t> host;
  for (uint32_t cause = 0; cause < LS_CAUSES; cause++) {
    Stall stall{.start_ns = 0, .end_ns = 100};
    stall.causes[cause] = 100;
    if (attributor.on_stall(stall).host_to_blame) host.insert(cause);
  }
  EXPECT_EQ(host, (std::set<uint32_t>{LS_CAUSE_PAGE_FAULT, LS_CAUSE_RUN_QUEUE, LS_CAUSE_THROTTLED,
                                      LS_CAUSE_STOPPED}));
}

TEST(Advice, HasASentenceForEachCause) {
  std::set<std::string> texts;
  for (uint32_t cause = 0; cause < LS_CAUSES; cause++) {
    std::string text = advice_for(cause);
    EXPECT_TRUE(text.ends_with('.')) << kCauseNames[cause];
    texts.insert(text);
  }
  EXPECT_EQ(texts.size(), static_cast<size_t>(LS_CAUSES));
}

}  // namespace
}  // namespace loopsight
