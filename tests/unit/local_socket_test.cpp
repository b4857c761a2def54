#include "daemon/web/local_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

namespace loopsight {
namespace {

class LocalSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "loopsight-socket-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = std::filesystem::canonical(name);
    path_ = folder_ / "s";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string why_not(const std::string& group = "") {
    auto made = listen_locally(path_, group);
    return made ? "" : made.error().message;
  }
  bool connects() const {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  mode_t mode() const {
    struct stat status{};
    return lstat(path_.c_str(), &status) == 0 ? status.st_mode : 0;
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;
};

TEST_F(LocalSocketTest, IsOfItsOwnerAndGroupWhateverTheUmask) {
  mode_t before = umask(0);
  {
    auto made = listen_locally(path_, std::to_string(getegid()));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(mode(), S_IFSOCK | 0660U);
    EXPECT_TRUE(connects());
  }
  EXPECT_EQ(umask(before), 0U);
  EXPECT_EQ(mode(), 0U);  // it went with its owner
}

TEST_F(LocalSocketTest, AStaleOneIsReplacedAndOneInUseIsNot) {
  auto first = listen_locally(path_, "");
  ASSERT_TRUE(first);
  EXPECT_NE(why_not().find("in use"), std::string::npos);
  EXPECT_TRUE(connects());
  first->socket.reset();  // as after a kill: the file stays
  EXPECT_FALSE(connects());
  auto second = listen_locally(path_, "");
  ASSERT_TRUE(second) << second.error().message;
  first->file = SocketFile();  // the file is another's by now
  EXPECT_TRUE(connects());
}

TEST_F(LocalSocketTest, WhatIsNoSocketStays) {
  std::ofstream(path_) << "precious";
  EXPECT_NE(why_not().find("no socket"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
  std::filesystem::remove(path_);
  std::filesystem::create_symlink(folder_ / "elsewhere", path_);
  EXPECT_NE(why_not().find("no socket"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "elsewhere"));
}

TEST_F(LocalSocketTest, NoLinkAndNoFolderOfAnybodyIsOnTheWay) {
  std::filesystem::create_directory(folder_ / "real");
  std::filesystem::create_directory_symlink(folder_ / "real", folder_ / "link");
  path_ = folder_ / "link" / "s";
  EXPECT_NE(why_not().find("symbolic link"), std::string::npos);
  path_ = folder_ / "real" / "s";
  ASSERT_EQ(chmod((folder_ / "real").c_str(), 01777), 0);
  EXPECT_NE(why_not().find("others may write"), std::string::npos);
}

TEST_F(LocalSocketTest, SaysWhatIsWrongWithItsPathAndGroup) {
  EXPECT_NE(why_not("no-such-group").find("no group"), std::string::npos);
  EXPECT_EQ(mode(), 0U);
  for (const char* path : {"", "s", "./s", "/", "/tmp/", "/tmp/."}) {
    path_ = path;
    EXPECT_NE(why_not(), "") << path;
  }
  path_ = folder_ / std::string(120, 'x');
  EXPECT_NE(why_not().find("longer than"), std::string::npos);
}

}  // namespace
}  // namespace loopsight
