#include "daemon/host/cpu_quota.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/host/proc.h"

namespace loopsight {
namespace {

class CpuQuota : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/loopsight-cpu-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<double> quota() { return read_cpu_quota(root_ + "/proc", root_ + "/cgroup", 7); }
  std::string root_;
};

TEST_F(CpuQuota, IsTheTightestOfVersion2) {
  write("/proc/7/cgroup", "0::/a/b\n");
  write("/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_FALSE(quota());
  write("/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
  write("/cgroup/a/b/cpu.max", "20000 100000\n");
  EXPECT_EQ(quota(), 0.2);
}

TEST_F(CpuQuota, IsThatOfVersion1) {
  write("/proc/7/cgroup", "4:memory:/m\n3:cpu,cpuacct:/a\n0::/\n");
  write("/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  write("/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(quota());
  write("/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CpuQuota, SurvivesWhatIsNoQuota) {
  EXPECT_FALSE(quota());
  write("/proc/7/cgroup", "nonsense\n0::/../../etc\n::\n3:cpu:" + std::string(5000, '/') + "\n");
  EXPECT_FALSE(quota());
  for (const char* text : {"", "max", "1", "0 100000", "5 0", "-5 100", "x y"})
    EXPECT_FALSE(parse_cpu_max(text)) << text;
}

TEST_F(CpuQuota, ReadsTheTimeOfAProcess) {
  write("/proc/7/stat", "7 (a) b) c) S 1 1 1 0 -1 0 0 0 0 0 150 50 9 9 20 0 1 0 100\n");
  auto ticks = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  EXPECT_EQ(read_cpu_time_ns(root_ + "/proc", 7), 200 * (1'000'000'000 / ticks));
  write("/proc/7/stat", "7 (a) S 1");
  EXPECT_FALSE(read_cpu_time_ns(root_ + "/proc", 7));
  EXPECT_FALSE(read_cpu_time_ns(root_ + "/proc", 8));
}

}  // namespace
}  // namespace loopsight
