#include "daemon/host/cgroup_levels.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

TEST(ParseCgroupMount, ReadsBothVersions) {
  CgroupMount mount;
  ASSERT_TRUE(parse_cgroup_mount(
      "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate", mount));
  EXPECT_EQ(mount.controllers, "");
  EXPECT_EQ(mount.where, "/sys/fs/cgroup");
  ASSERT_TRUE(parse_cgroup_mount(
      "32 25 0:28 /../.. /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd", mount));
  EXPECT_EQ(mount.controllers, "name=systemd");
  EXPECT_EQ(mount.root, "/../..");
  ASSERT_TRUE(parse_cgroup_mount("3 2 0:2 / /cg rw - cgroup cgroup rw,cpu,cpuacct", mount));
  EXPECT_EQ(mount.controllers, "cpu,cpuacct");
  EXPECT_FALSE(parse_cgroup_mount("3 2 0:2 / /proc rw - proc proc rw", mount));
  for (const char* text : {"", " ", "1 2 3", "- cgroup", "a b c d e - "})
    EXPECT_FALSE(parse_cgroup_mount(text, mount)) << text;
}

class CgroupLevelsTest : public testing::Test {
 protected:
  CgroupLevelsTest() {
    std::string path = fs::temp_directory_path() / "loopsight-levels-XXXXXX";
    root_ = mkdtemp(path.data());
    fs::create_directories(groups());
    fs::create_directories(root_ / "self");
    std::ofstream(root_ / "self/cgroup") << "0::/\n";
    mount("/");
  }
  ~CgroupLevelsTest() override { fs::remove_all(root_); }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to give folders to another user";
  }

  fs::path groups() const { return root_ / "1/root/cg"; }
  void mount(const std::string& root) {
    std::ofstream(root_ / "1/mountinfo") << "1 2 0:3 " << root << " /cg rw - cgroup2 none rw\n";
  }
  fs::path make(const std::string& path) {
    fs::create_directories(groups() / path);
    return groups() / path;
  }
  std::string believed(const std::string& path, const std::string& controllers = "") {
    CgroupLevels levels(root_);
    return std::string(levels.named_by_root(controllers, path));
  }

  fs::path root_;
};

TEST_F(CgroupLevelsTest, BelievesWhatIsRootsToTheEnd) {
  make("system.slice/shop.service/workers");
  EXPECT_EQ(believed("/system.slice/shop.service/workers"), "/system.slice/shop.service/workers");
  EXPECT_EQ(believed("/system.slice/shop.service"), "/system.slice/shop.service");
  EXPECT_EQ(believed("/"), "");
}

TEST_F(CgroupLevelsTest, BelievesNothingBelowAUsersFolder) {
  make("user.slice/user@1000.service/app.slice/postgresql.service");
  ASSERT_EQ(chown((groups() / "user.slice/user@1000.service").c_str(), 1000, 1000), 0);
  EXPECT_EQ(believed("/user.slice/user@1000.service/app.slice/postgresql.service"),
            "/user.slice/user@1000.service");
  EXPECT_EQ(believed("/user.slice/user@1000.service/postgresql.service"),
            "/user.slice/user@1000.service");
}

TEST_F(CgroupLevelsTest, NorBelowWhatOthersMayWriteToOrWasHandedOver) {
  ASSERT_EQ(chmod(make("open").c_str(), 0775), 0);
  make("open/postgresql.service");
  EXPECT_EQ(believed("/open/postgresql.service"), "/open");
  fs::path shop = make("shop.service");
  make("shop.service/postgresql.service");
  if (setxattr(shop.c_str(), "trusted.delegate", "1", 1, 0) != 0) GTEST_SKIP() << "no such xattr";
  EXPECT_EQ(believed("/shop.service/postgresql.service"), "/shop.service");
  make("containerd.service/docker");
  ASSERT_EQ(setxattr((groups() / "containerd.service").c_str(), "trusted.delegate", "1", 1, 0), 0);
  EXPECT_EQ(believed("/containerd.service/docker"), "/containerd.service/docker");
}

TEST_F(CgroupLevelsTest, BelievesNothingOfWhatItCannotLookAt) {
  make("shop.service");
  EXPECT_EQ(believed("/shop.service", "name=systemd"), "");
  EXPECT_EQ(believed("/../shop.service"), "");
  EXPECT_EQ(believed("/gone.slice/shop.service"), "/gone.slice");
}

TEST_F(CgroupLevelsTest, FindsTheWayFromWithinACgroupNamespace) {
  mount("/../..");  // we are two levels below it
  make("kubepods.slice/our.scope");
  make("kubepods.slice/pod1.slice/a.scope");
  make("user.slice/alice.scope/a.scope");
  std::ofstream(groups() / "kubepods.slice/our.scope/cgroup.procs") << "1\n" << getpid() << "\n";
  EXPECT_EQ(believed("/../pod1.slice/a.scope"), "/../pod1.slice/a.scope");
  EXPECT_EQ(believed("/../../user.slice/alice.scope/a.scope"),
            "/../../user.slice/alice.scope/a.scope");
  ASSERT_EQ(chown((groups() / "user.slice/alice.scope").c_str(), 1000, 1000), 0);
  EXPECT_EQ(believed("/../../user.slice/alice.scope/a.scope"), "/../../user.slice/alice.scope");
  ASSERT_EQ(chown((groups() / "kubepods.slice").c_str(), 1000, 1000), 0);
  EXPECT_EQ(believed("/../pod1.slice/a.scope"), "/..");
  EXPECT_EQ(believed("/../../../x"), "");
}

TEST_F(CgroupLevelsTest, WithoutThatWayNothingIsBelieved) {
  mount("/../..");
  make("kubepods.slice/pod1.slice/a.scope");
  EXPECT_EQ(believed("/../pod1.slice/a.scope"), "");
}

}  // namespace
}  // namespace loopsight
