#include "daemon/host/program_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace loopsight {
namespace {

std::string stat_line(const std::string& name, uint64_t stack) {
  std::string line = "7 (" + name +
                     ") S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 4096 1 " +
                     std::to_string(UINT64_MAX) + " 4194304 8388608 " + std::to_string(stack);
  for (int field = 29; field < 45; field++) line += " 0";
  return line + " 777 0 0 0 0 0 0 0\n";
}

constexpr const char* kStatus =
    "Name:\tx\nUid:\t1000\t1001\t1002\t1003\nGid:\t1\t2\t3\t4\nFDSize:\t64\nGroups:\t4 24 27 \n"
    "CapPrm:\t0000000000000002\nCapEff:\t0000000000000002\n";

TEST(ProgramImage, TakesTheNumbersOfItsMemory) {
  ProgramImage image;
  ASSERT_TRUE(parse_image_stat(stat_line("python3", 140'000'000), image));
  EXPECT_EQ(image.start_ticks, 12345U);
  EXPECT_EQ(image.start_code, 4194304U);
  EXPECT_EQ(image.end_code, 8388608U);
  EXPECT_EQ(image.start_stack, 140'000'000U);
  EXPECT_EQ(image.start_data, 777U);
  ProgramImage other;
  ASSERT_TRUE(parse_image_stat(stat_line(") S 1 1 (", 140'000'016), other));
  EXPECT_EQ(other.start_ticks, 12345U);
  EXPECT_FALSE(image == other);
}

TEST(ProgramImage, IsNoneWithoutMemory) {
  ProgramImage image;
  EXPECT_FALSE(parse_image_stat(stat_line("x", 0), image));
  EXPECT_FALSE(parse_image_stat("", image));
  EXPECT_FALSE(parse_image_stat("7 (x)", image));
  EXPECT_FALSE(parse_image_stat("7 (x) S 1 2 3", image));
}

TEST(ProgramImage, TakesTheRightsForFiles) {
  FileUser user;
  ASSERT_TRUE(parse_image_status(kStatus, true, user));
  EXPECT_EQ(user.user, 1003U);
  EXPECT_EQ(user.group, 4U);
  EXPECT_EQ(user.groups, (std::vector<uint32_t>{4, 24, 27}));
  EXPECT_FALSE(user.reads_all);  // only root's count
}

TEST(ProgramImage, RootReadsAllWithItsOwnCapabilitiesOnly) {
  auto status = [](const char* effective) {
    return std::string("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t\nCapEff:\t") +
           effective + "\n";
  };
  FileUser user;
  ASSERT_TRUE(parse_image_status(status("000001ffffffffff"), true, user));
  EXPECT_TRUE(user.reads_all);
  ASSERT_TRUE(parse_image_status(status("000001ffffffffff"), false, user));  // of its own namespace
  EXPECT_FALSE(user.reads_all);
  ASSERT_TRUE(parse_image_status(status("0000000000000000"), true, user));
  EXPECT_FALSE(user.reads_all);
  EXPECT_TRUE(user.groups.empty());
}

TEST(ProgramImage, IsNoneOfAStatusThatSaysLess) {
  FileUser user;
  EXPECT_FALSE(parse_image_status("", true, user));
  EXPECT_FALSE(parse_image_status("Name:\tx\nUid:\t1\t2\t3\n", true, user));
  std::string cut(kStatus);
  EXPECT_FALSE(parse_image_status(cut.substr(0, cut.size() - 1), true, user));
}

TEST(ProgramImage, AnExecChangesIt) {
  pid_t child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    execl("/bin/sleep", "sleep", "30", nullptr);
    _exit(1);
  }
  ASSERT_GT(child, 0);
  waitpid(child, nullptr, WUNTRACED);
  Fd process(open(("/proc/" + std::to_string(child)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto before = read_image(process);
  auto again = read_image(process);
  kill(child, SIGCONT);
  auto after = before;
  for (int i = 0; i < 500 && after == before; i++) {
    usleep(10'000);
    if (auto now = read_image(process)) after = now;
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(before);
  EXPECT_EQ(before, again);
  EXPECT_EQ(before->user.user, geteuid());
  EXPECT_NE(before, after);
  EXPECT_FALSE(read_image(process));  // gone, whoever has its number next
}

}  // namespace
}  // namespace loopsight
