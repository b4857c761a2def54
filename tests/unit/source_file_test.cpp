#include "daemon/host/source_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "daemon/attribute/sources.h"

namespace loopsight {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kNow = INT64_MAX;

TEST(CutExpression, TakesTheColumns) {
  EXPECT_EQ(cut_expression("    x = time.sleep(1)  # c", 8, 21), "time.sleep(1)");
  EXPECT_EQ(cut_expression("    g(a,\n      b)[0]", 4, 11), "g(a, b)[0]");
  EXPECT_EQ(cut_expression("    g(\n      a,\n      b\n    )", 4, 5), "g(a, b)");
  EXPECT_EQ(cut_expression("a\x1b[2J\"", 0, 6), "a?[2J\"");
  EXPECT_EQ(cut_expression("  with lock:\n    work()", 2, 10), "with lock");
}

TEST(CutExpression, IsEmptyWhereTheColumnsLieOutside) {
  EXPECT_EQ(cut_expression("abc", 0, 4), "");
  EXPECT_EQ(cut_expression("abc", 3, 4), "");
  EXPECT_EQ(cut_expression("abc", 2, 2), "");
  EXPECT_EQ(cut_expression("abc", 0, 0), "");
  EXPECT_EQ(cut_expression("", 0, 1), "");
  EXPECT_EQ(cut_expression("a\nb", 0, 9), "");
  EXPECT_EQ(cut_expression("a\nb", 7, 1), "");
  EXPECT_EQ(cut_expression(std::string(1000, 'a'), 0, 1000).size(), 160U);
}

// A process without a /proc of its own: root and cwd are folders of the test.
class SourceFile : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("loopsight-source-" + std::to_string(getpid()));
    fs::create_directories(root_ / "proc" / "7");
    fs::create_directories(root_ / "jail" / "srv");
    fs::create_directory_symlink(root_ / "jail", root_ / "proc" / "7" / "root");
    fs::create_directory_symlink(root_ / "jail" / "srv", root_ / "proc" / "7" / "cwd");
    say_user(getuid(), getgid());
    write("jail/srv/app.py", "one\ntwo\nthree\n");
    write("secret", "outside\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    std::ofstream(root_ / path, std::ios::binary) << text;
  }
  void say_user(uint32_t user, uint32_t group) const {
    std::string id = std::to_string(user) + "\t";
    std::string gid = std::to_string(group) + "\t";
    write("proc/7/status", "Name:\tx\nUid:\t" + id + id + id + std::to_string(user) + "\nGid:\t" +
                               gid + gid + gid + std::to_string(group) + "\n");
  }
  std::optional<std::string> lines(const std::string& path, uint32_t first, uint32_t last,
                                   int64_t started = kNow - 1'000'000'000) const {
    return read_source_lines((root_ / "proc").string(), 7, path, first, last, started);
  }
  fs::path root_;
};

TEST_F(SourceFile, ReadsLinesInsideTheRootOfTheProcess) {
  EXPECT_EQ(lines("/srv/app.py", 2, 2), "two");
  EXPECT_EQ(lines("/srv/app.py", 1, 3), "one\ntwo\nthree");
  EXPECT_EQ(lines("app.py", 2, 3), "two\nthree");  // from its working directory
  EXPECT_EQ(lines("/srv/app.py", 3, 4), std::nullopt);
  EXPECT_EQ(lines("/srv/none.py", 1, 1), std::nullopt);
  EXPECT_EQ(lines("<string>", 1, 1), std::nullopt);
  EXPECT_EQ(lines("", 1, 1), std::nullopt);
  EXPECT_EQ(lines("/srv/app.py", 0, 1), std::nullopt);
  EXPECT_EQ(lines("/srv/app.py", 1, 1 + kMaxSourceLines), std::nullopt);
  write("jail/srv/last.py", "one\ntwo");  // without a line feed at the end
  EXPECT_EQ(lines("/srv/last.py", 2, 2), "two");
}

TEST_F(SourceFile, CannotBeLedOutOfTheRoot) {
  fs::create_symlink(root_ / "secret", root_ / "jail" / "srv" / "link.py");
  fs::create_symlink("../../secret", root_ / "jail" / "srv" / "up.py");
  EXPECT_EQ(lines("/srv/link.py", 1, 1), std::nullopt);
  EXPECT_EQ(lines("/srv/up.py", 1, 1), std::nullopt);
  EXPECT_EQ(lines("/../secret", 1, 1), std::nullopt);
  EXPECT_EQ(lines("../../secret", 1, 1), std::nullopt);
  fs::create_symlink("/srv/app.py", root_ / "jail" / "srv" / "inside.py");
  EXPECT_EQ(lines("/srv/inside.py", 1, 1), "one");
}

TEST_F(SourceFile, ReadsNoFileThatChangedAfterTheProgramStarted) {
  EXPECT_EQ(lines("/srv/app.py", 1, 1, 1'000'000'000), std::nullopt);
}

TEST_F(SourceFile, ReadsRegularFilesOfAReasonableSizeOnly) {
  ASSERT_EQ(mkfifo((root_ / "jail/srv/fifo.py").c_str(), 0644), 0);
  EXPECT_EQ(lines("/srv/fifo.py", 1, 1), std::nullopt);
  EXPECT_EQ(lines("/srv", 1, 1), std::nullopt);
  write("jail/srv/large.py", std::string((4 << 20) + 1, '\n'));
  EXPECT_EQ(lines("/srv/large.py", 1, 1), std::nullopt);
  write("jail/srv/wide.py", std::string(100000, 'x') + "\n");
  EXPECT_EQ(lines("/srv/wide.py", 1, 1), std::nullopt);
}

TEST_F(SourceFile, ReadsOnlyWhatTheProcessMayRead) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to act for another user";
  for (const char* part : {"", "jail", "jail/srv", "proc", "proc/7"})
    fs::permissions(root_ / part, fs::perms(0755));
  say_user(65534, 65534);
  fs::permissions(root_ / "jail/srv/app.py", fs::perms(0644));
  EXPECT_EQ(lines("/srv/app.py", 1, 1), "one");
  fs::permissions(root_ / "jail/srv/app.py", fs::perms(0600));
  EXPECT_EQ(lines("/srv/app.py", 1, 1), std::nullopt);
  fs::permissions(root_ / "jail/srv/app.py", fs::perms(0640));  // our own group may, it may not
  EXPECT_EQ(lines("/srv/app.py", 1, 1), std::nullopt);
  fs::permissions(root_ / "jail/srv/app.py", fs::perms(0644));
  fs::permissions(root_ / "jail/srv", fs::perms(0700));
  EXPECT_EQ(lines("/srv/app.py", 1, 1), std::nullopt);
  // And we are ourselves again.
  std::ofstream(root_ / "jail/srv/after.py") << "x";
  EXPECT_TRUE(fs::exists(root_ / "jail/srv/after.py"));
}

TEST(Sources, ForgetTheProcessWithTheLargestNumberAlone) {
  Sources sources;
  for (uint32_t tgid : {0U, 7U, UINT32_MAX})
    sources.on_source({.tgid = tgid, .file = "/a.py", .line = 1, .end_line = 1, .text = "a"});
  sources.on_exit(UINT32_MAX);
  EXPECT_EQ(sources.size(), 2U);
  sources.on_source({.tgid = 8, .file = "/a.py", .text = std::string(60'000, 'a')});
  EXPECT_EQ(sources.size(), 2U);  // a recording's may be longer than any that is read
}

}  // namespace
}  // namespace loopsight
