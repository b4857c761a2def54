#include "daemon/base/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "output_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = (folder_ / "stalls").string();
    old_mask_ = umask(0);
  }
  void TearDown() override {
    umask(old_mask_);
    fs::remove_all(folder_);
  }

  void put(const std::string& path, mode_t mode) {
    std::ofstream(path) << "old";
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  }

  // The error, "" without; writes "new" where there is none.
  std::string write(const OutputFileOptions& options = {}) {
    auto fd = open_output_file(path_, options);
    if (!fd) return fd.error().message;
    EXPECT_EQ(::write(fd->get(), "new", 3), 3);
    return "";
  }

  static std::string content(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  mode_t mode() const {
    struct stat status{};
    return stat(path_.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }

  fs::path folder_;
  std::string path_;
  mode_t old_mask_ = 0;
};

TEST_F(OutputFileTest, IsMadeForItsOwnerAlone) {
  EXPECT_EQ(write(), "");
  EXPECT_EQ(mode(), 0600U);
  fs::remove(path_);
  EXPECT_EQ(write({.mode = 0640}), "");
  EXPECT_EQ(mode(), 0640U);
}

TEST_F(OutputFileTest, TightensWhatWasThere) {
  put(path_, 0666);
  EXPECT_EQ(write(), "");
  EXPECT_EQ(mode(), 0600U);
  EXPECT_EQ(content(path_), "new");
  put(path_, 0400);  // root writes it all the same
  if (geteuid() == 0) {
    EXPECT_EQ(write(), "");
    EXPECT_EQ(mode(), 0400U);
  }
  put(path_, 0666);
  EXPECT_EQ(write({.mode = 0640, .append = true}), "");
  EXPECT_EQ(mode(), 0640U);
  EXPECT_EQ(content(path_), "oldnew");
}

TEST_F(OutputFileTest, FollowsNoLinkThatSomebodyElseMayHaveMade) {
  std::string other = folder_ / "other";
  put(other, 0600);
  fs::create_symlink(other, path_);
  for (mode_t anybody : {0777, 01777}) {
    ASSERT_EQ(chmod(folder_.c_str(), anybody), 0);
    EXPECT_NE(write().find("symbolic link"), std::string::npos);
  }
  fs::remove(path_);
  fs::create_symlink("/nowhere", path_);
  EXPECT_NE(write().find("symbolic link"), std::string::npos);
  EXPECT_EQ(content(other), "old");
}

TEST_F(OutputFileTest, FollowsALinkOfOurOwn) {
  std::string other = folder_ / "other";
  put(other, 0644);
  fs::create_symlink(other, path_);
  EXPECT_NE(write({.only_file = true}).find("symbolic link"), std::string::npos);
  EXPECT_EQ(write(), "");
  EXPECT_EQ(content(other), "new");
  EXPECT_EQ(mode(), 0600U);
}

TEST_F(OutputFileTest, LeavesTheFilesOfOthersAlone) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to make one";
  put(path_, 0666);
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  EXPECT_NE(write().find("belongs to user 65534"), std::string::npos);
  EXPECT_EQ(content(path_), "old");
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0666), 0);
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  EXPECT_NE(write().find("belongs to user 65534"), std::string::npos);  // and does not wait
}

TEST_F(OutputFileTest, LeavesASecondNameAloneWhereAnybodyMayGiveIt) {
  std::string other = folder_ / "other";
  put(other, 0600);
  fs::create_hard_link(other, path_);
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  EXPECT_NE(write().find("second name"), std::string::npos);
  EXPECT_EQ(content(other), "old");
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  EXPECT_EQ(write(), "");
}

TEST_F(OutputFileTest, WritesToDevicesAndPipesUnlessItMustBeAFile) {
  path_ = "/dev/null";
  struct stat before{};
  ASSERT_EQ(stat("/dev/null", &before), 0);
  EXPECT_EQ(write(), "");
  EXPECT_EQ(mode(), before.st_mode & 07777U);
  EXPECT_NE(write({.only_file = true}).find("regular"), std::string::npos);
  path_ = (folder_ / "fifo").string();
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_NE(write({.only_file = true}).find("regular"), std::string::npos);
  int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(write(), "");
  close(reader);
}

TEST_F(OutputFileTest, SaysWhyItCannotBeOpened) {
  path_ = (folder_ / "no" / "file").string();
  EXPECT_EQ(write(), "cannot write " + path_ + ": No such file or directory");
  path_ = folder_.string();
  EXPECT_NE(write().find("directory"), std::string::npos);
}

}  // namespace
}  // namespace loopsight
