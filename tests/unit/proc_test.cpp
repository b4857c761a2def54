#include "daemon/host/proc.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace loopsight {
namespace {

TEST(ParseMappings, ReadsWhatTheKernelWrites) {
  auto mappings = parse_mappings(
      "00400000-0041f000 r--p 00000000 fe:01 10952836                  /usr/bin/python3.11\n"
      "0041f000-006c5000 r-xp 0001f000 fe:01 10952836                  /usr/bin/python3.11\n"
      "02000000-02100000 rw-p 00000000 00:00 0                         [heap]\n"
      "7f0000000000-7f0000001000 r-xp 00000000 08:10 77                /opt/a b/lib c.so "
      "(deleted)\n"
      "7f0000002000-7f0000003000 r-xp 00000000 00:00 0 \n");
  ASSERT_EQ(mappings.size(), 3U);
  EXPECT_EQ(mappings[0].start, 0x400000U);
  EXPECT_EQ(mappings[0].end, 0x41f000U);
  EXPECT_FALSE(mappings[0].executable);
  EXPECT_TRUE(mappings[1].executable);
  EXPECT_EQ(mappings[1].inode, 10952836U);
  EXPECT_EQ(mappings[1].device, 0xfe00000001U);
  EXPECT_EQ(mappings[2].path, "/opt/a b/lib c.so");
}

TEST(ParseMappings, LeavesOutDamagedLines) {
  EXPECT_TRUE(parse_mappings("\n\n-\nzz-yy r-xp 0 0:0 5 /x\n1-2 r-x\n").empty());
}

TEST(Proc, ReadsThisVeryProcess) {
  auto self = static_cast<uint32_t>(getpid());
  EXPECT_GT(read_start_ticks("/proc", self).value_or(0), 0U);
  EXPECT_FALSE(read_mappings("/proc", self).empty());
  auto pids = list_pids("/proc");
  EXPECT_NE(std::find(pids.begin(), pids.end(), self), pids.end());
}

TEST(Proc, ShowsWhatAnEpollInstanceWatches) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  int epoll = epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 0xFFFFFFFF00000000}};
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), 0);
  auto self = static_cast<uint32_t>(getpid());
  EXPECT_EQ(read_epoll_targets("/proc", self, epoll), std::vector<int>{ends[0]});
  EXPECT_TRUE(read_epoll_targets("/proc", self, ends[0]).empty());
  EXPECT_EQ(read_descriptor("/proc", self, epoll), "anon_inode:[eventpoll]");
  for (int fd : {ends[0], ends[1], epoll}) close(fd);
}

TEST(Proc, FindsNothingOfAProcessThatIsGone) {
  constexpr uint32_t kNobody = 0x7FFFFFFF;
  EXPECT_FALSE(read_start_ticks("/proc", kNobody));
  EXPECT_TRUE(read_mappings("/proc", kNobody).empty());
  EXPECT_TRUE(read_children("/proc", kNobody).empty());
  EXPECT_TRUE(read_descriptor("/proc", kNobody, 0).empty());
}

TEST(Proc, ReadsAStatLineWithAHostileName) {
  auto root =
      std::filesystem::temp_directory_path() / ("loopsight-proc-" + std::to_string(getpid()));
  std::filesystem::create_directories(root / "5");
  std::ofstream(root / "5" / "stat")
      << "5 (a) R 1 (b) S) S 1 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n";
  EXPECT_EQ(read_start_ticks(root.string(), 5), 987654U);
  std::ofstream(root / "5" / "stat") << "5 (a) S 1";
  EXPECT_FALSE(read_start_ticks(root.string(), 5));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace loopsight
