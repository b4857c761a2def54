#include "daemon/host/source_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/attribute/sources.h"
#include "daemon/base/fd.h"

namespace loopsight {
namespace {

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

class SourceLines : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(file_); }
  void write(const std::string& text) const {
    ASSERT_EQ(ftruncate(file_.get(), 0), 0);
    ASSERT_EQ(pwrite(file_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  std::optional<std::string> lines(uint32_t first, uint32_t last) const {
    lseek(file_.get(), 0, SEEK_SET);
    return read_lines(file_.get(), first, last);
  }
  Fd file_{memfd_create("lines", MFD_CLOEXEC)};
};

TEST_F(SourceLines, TakesLinesByNumber) {
  write("one\ntwo\nthree\n");
  EXPECT_EQ(lines(2, 2), "two");
  EXPECT_EQ(lines(1, 3), "one\ntwo\nthree");
  EXPECT_EQ(lines(3, 4), std::nullopt);
  write("one\ntwo");  // without a line feed at the end
  EXPECT_EQ(lines(2, 2), "two");
}

TEST_F(SourceLines, TakesNoMoreThanABound) {
  write(std::string(100000, 'x') + "\nshort\n");
  EXPECT_EQ(lines(1, 1), std::nullopt);
  EXPECT_EQ(lines(2, 2), "short");
  write(std::string(5 << 20, '\n') + "far\n");  // it has grown since it was looked at
  EXPECT_EQ(lines((5 << 20) + 1, (5 << 20) + 1), std::nullopt);
}

TEST(ChangedAfter, AsksForBothTimes) {
  struct stat file{};
  file.st_mtim = {.tv_sec = 100, .tv_nsec = 0};
  file.st_ctim = {.tv_sec = 200, .tv_nsec = 0};
  EXPECT_TRUE(changed_after(file, 199'000'000'000));
  EXPECT_FALSE(changed_after(file, 200'000'000'000));
  EXPECT_FALSE(changed_after(file, 199'600'000'000));  // times of files are coarse
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
