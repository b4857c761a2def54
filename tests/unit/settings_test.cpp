#include "daemon/command/settings.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace loopsight {
namespace {

class SettingsTest : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(path_) << "threshold: 1s\nweb: {listen_address: ':1'}\n"; }
  void TearDown() override { std::remove(path_.c_str()); }
  std::string path_ = testing::TempDir() + "loopsight-settings-test.yml";
};

TEST_F(SettingsTest, TheCommandLineWins) {
  auto settings = read_settings({.config_file = path_});
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->threshold_ns, 1'000'000'000U);
  EXPECT_EQ(settings->listen_address, ":1");
  settings = read_settings({.threshold_ns = 5, .listen_address = ":2", .config_file = path_});
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->threshold_ns, 5U);
  EXPECT_EQ(settings->listen_address, ":2");
}

TEST_F(SettingsTest, AFileThatWasAskedForMustBeThere) {
  EXPECT_FALSE(read_settings({.config_file = path_ + ".not"}));
}

TEST(Settings, NamesWhatOnlyARestartChanges) {
  Configuration before;
  Configuration after;
  after.threshold_ns = 1;
  after.stalls_kept = 2;
  EXPECT_EQ(needs_restart(before, after), "");
  after.listen_address = ":1";
  after.exports.journal = true;
  EXPECT_EQ(needs_restart(before, after), "web.listen_address, exports");
  after = before;
  after.allowed_hosts = {"a"};
  after.open_health = true;
  after.socket_group = "g";
  EXPECT_EQ(needs_restart(before, after), "web.socket_group, web.allowed_hosts, web.open_health");
}

}  // namespace
}  // namespace loopsight
