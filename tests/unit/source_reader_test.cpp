#include "daemon/host/source_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

class Reader : public testing::Test {
 protected:
  void SetUp() override {
    auto started = SourceReader::start();
    ASSERT_TRUE(started) << started.error().message;
    reader_ = *started;
    folder_ = fs::temp_directory_path() / ("loopsight-reader-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    fs::permissions(folder_, fs::perms(0755));
    std::ofstream(folder_ / "app.py") << "one\ntwo\nthree\n";
    root_ = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { fs::remove_all(folder_); }
  SourceAnswer ask(const std::string& path, FileUser user, uint32_t last = 2) {
    return reader_->ask({.as = std::move(user),
                         .first = 1,
                         .last = last,
                         .started_ns = INT64_MAX,
                         .path = path,
                         .host_path = path},
                        root_, root_);
  }
  static FileUser ourselves() {
    FileUser user{.user = geteuid(), .group = getegid()};
    std::vector<gid_t> groups(1024);
    groups.resize(static_cast<size_t>(std::max(0, getgroups(1024, groups.data()))));
    user.groups.assign(groups.begin(), groups.end());
    return user;
  }
  std::shared_ptr<SourceReader> reader_;
  fs::path folder_;
  Fd root_;
};

TEST_F(Reader, ReadsLines) {
  for (int i = 0; i < 3; i++) {
    auto answer = ask(folder_ / "app.py", ourselves());
    EXPECT_STREQ(name_of(answer.outcome), "read");
    EXPECT_EQ(answer.text, "one\ntwo");
  }
  EXPECT_STREQ(name_of(ask(folder_ / "app.py", ourselves(), 9).outcome), "no such lines");
  EXPECT_STREQ(name_of(ask(folder_ / "none.py", ourselves()).outcome), "not there");
  EXPECT_STREQ(name_of(ask("/proc/self/maps", ourselves()).outcome), "file system");
}

TEST_F(Reader, IsTheUserAndNobodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  FileUser nobody{.user = 65534, .group = 65534};
  FileUser root{.user = 0, .group = 0};
  auto outcome = [&](const FileUser& user) {
    return std::string(name_of(ask(folder_ / "app.py", user).outcome));
  };
  EXPECT_EQ(outcome(nobody), "read");
  EXPECT_TRUE(ask(folder_ / "app.py", nobody).is_public);
  fs::permissions(folder_ / "app.py", fs::perms(0640));  // our own group may read it
  EXPECT_EQ(outcome(nobody), "not there");
  EXPECT_EQ(outcome(root), "read");
  EXPECT_FALSE(ask(folder_ / "app.py", root).is_public);
  nobody.groups = {0};
  EXPECT_EQ(outcome(nobody), "read");
  // Root without capabilities is the owner of its own files and no more.
  fs::permissions(folder_ / "app.py", fs::perms(0600));
  ASSERT_EQ(chown((folder_ / "app.py").c_str(), 1234, 1234), 0);
  EXPECT_EQ(outcome(root), "not there");
  root.reads_all = true;
  EXPECT_EQ(outcome(root), "read");
}

TEST_F(Reader, RefusesWhatIsNoRequest) {
  EXPECT_STREQ(name_of(ask("", ourselves()).outcome), "bad request");
  EXPECT_STREQ(name_of(ask(folder_ / "app.py", ourselves()).outcome), "read");
}

// The reader's pid, 0 where there is none now.
pid_t child_of(pid_t keeper) {
  std::string tid = std::to_string(keeper);
  pid_t child = 0;
  std::ifstream("/proc/" + tid + "/task/" + tid + "/children") >> child;
  return child;
}

TEST_F(Reader, IsReplacedWhenItDiesAndEndsEvenWhileItIsDead) {
  pid_t first = child_of(reader_->pid());
  if (first == 0 || kill(first, SIGKILL) != 0) GTEST_SKIP() << "cannot kill it";
  pid_t next = 0;
  for (int i = 0; i < 300 && (next == 0 || next == first); i++) {
    usleep(20'000);
    next = child_of(reader_->pid());
  }
  ASSERT_NE(next, 0);
  ASSERT_NE(next, first);
  ask(folder_ / "app.py", ourselves());  // hears of the new one
  EXPECT_STREQ(name_of(ask(folder_ / "app.py", ourselves()).outcome), "read");
  EXPECT_EQ(reader_->counts().restarted, 1U);
  kill(next, SIGKILL);
  usleep(100'000);
  pid_t keeper = reader_->pid();
  reader_.reset();  // does not wait for ever
  EXPECT_NE(kill(keeper, 0), 0);
}

TEST_F(Reader, EndsWithItsUser) {
  pid_t pid = reader_->pid();
  reader_.reset();
  EXPECT_NE(kill(pid, 0), 0);
}

}  // namespace
}  // namespace loopsight
