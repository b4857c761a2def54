#include "daemon/host/owners.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

class OwnersTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("loopsight-owners-" + std::to_string(getpid()));
    fs::create_directories(root_ / "cgroup");
    std::ofstream(root_ / "cgroup" / "cgroup.procs");
  }
  void TearDown() override { fs::remove_all(root_); }

  void process(uint32_t pid, uint32_t user, const std::string& cgroup) {
    fs::path folder = root_ / "proc" / std::to_string(pid);
    fs::create_directories(folder);
    std::ofstream(folder / "status")
        << "Name:\tx\nUid:\t" << user << "\t0\t0\t0\nGid:\t1\t1\t1\t1\n";
    std::ofstream(folder / "cgroup") << "4:memory:/elsewhere\n0::" << cgroup << "\n";
  }
  uint64_t number(const std::string& cgroup) {
    struct stat status{};
    return stat(((root_ / "cgroup").string() + cgroup).c_str(), &status) == 0 ? status.st_ino : 0;
  }
  Owners owners() { return Owners((root_ / "proc").string(), (root_ / "cgroup").string()); }

  fs::path root_;
};

TEST(UnifiedCgroup, IsTheLineOfNoController) {
  EXPECT_EQ(unified_cgroup("9:cpu:/a\n0::/b/c\n"), "/b/c");
  EXPECT_EQ(unified_cgroup("9:cpu:/a\n"), "");
  EXPECT_EQ(unified_cgroup(""), "");
}

TEST_F(OwnersTest, IsTheRealUserInItsCgroup) {
  fs::create_directories(root_ / "cgroup" / "system.slice" / "a.service");
  process(1, 1000, "/system.slice/a.service");
  auto all = owners();
  EXPECT_EQ(all.of(1), (Owner{.cgroup = number("/system.slice/a.service"), .user = 1000}));
  EXPECT_EQ(all.of(2).user, Owner::kNobody);
}

TEST_F(OwnersTest, NoCgroupBelowOneOfAnotherUserIsItsOwn) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give a folder to another user";
  fs::create_directories(root_ / "cgroup" / "user" / "theirs" / "x");
  fs::create_directories(root_ / "cgroup" / "user" / "theirs" / "y");
  for (const char* one : {"theirs", "theirs/x", "theirs/y"})
    EXPECT_EQ(chown((root_ / "cgroup" / "user" / one).c_str(), 1000, 1000), 0);
  process(1, 1000, "/user/theirs/x");
  process(2, 1000, "/user/theirs/y");
  auto all = owners();
  EXPECT_EQ(all.of(1), all.of(2));
  EXPECT_EQ(all.of(1).cgroup, number("/user/theirs"));
}

TEST_F(OwnersTest, AChildHasItsParentsOwnerThoughItHasEnded) {
  process(1, 1000, "/");
  auto all = owners();
  Owner parent = all.of(1);
  all.on_fork(1, 2);
  EXPECT_EQ(all.of(2), parent);
  all.forget(2);
  EXPECT_EQ(all.of(2).user, Owner::kNobody);
}

}  // namespace
}  // namespace loopsight
