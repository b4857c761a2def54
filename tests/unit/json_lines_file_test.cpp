#include "daemon/sink/json_lines_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

class JsonLinesFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "json_lines_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ / "stalls.jsonl";
  }
  void TearDown() override { fs::remove_all(folder_); }

  JsonLinesFile open(uint64_t max_bytes = 1 << 20, uint32_t files = 3) {
    auto file = JsonLinesFile::open(
        {.path = path_.string(), .max_bytes = max_bytes, .files = files}, WallClock::fixed(0), "h");
    EXPECT_TRUE(file) << file.error().message;
    return std::move(*file);
  }

  StallReport stall(uint32_t number) {
    StallReport report;
    report.stall.tid = number;
    return report;
  }

  // The tids in a file; every line must be whole.
  std::vector<uint32_t> tids(const fs::path& path) {
    std::ifstream in(path);
    std::vector<uint32_t> found;
    for (std::string line; std::getline(in, line);)
      found.push_back(nlohmann::json::parse(line)["tid"].get<uint32_t>());
    return found;
  }

  fs::path folder_;
  fs::path path_;
};

using Tids = std::vector<uint32_t>;

TEST_F(JsonLinesFileTest, AppendsToWhatIsThere) {
  for (uint32_t i = 1; i <= 2; i++) {
    JsonLinesFile file = open();
    ASSERT_TRUE(file.on_stall(stall(i)));
  }
  EXPECT_EQ(tids(path_), (Tids{1, 2}));
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0640U, 0U);
}

TEST_F(JsonLinesFileTest, BeginsALineAfterOneThatAKillHasCut) {
  std::ofstream(path_) << "{\"tid\":7}\n{\"ti";
  ASSERT_TRUE(open().on_stall(stall(8)));
  std::ifstream in(path_);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1], "{\"ti");
  EXPECT_EQ(nlohmann::json::parse(lines[2])["tid"], 8);
}

TEST_F(JsonLinesFileTest, RotatesBySizeAndKeepsTheNewest) {
  JsonLinesFile file = open(700, 3);  // one line fits, two do not
  for (uint32_t i = 1; i <= 5; i++) ASSERT_TRUE(file.on_stall(stall(i)));
  EXPECT_EQ(tids(path_), (Tids{5}));
  EXPECT_EQ(tids(path_.string() + ".1"), (Tids{4}));
  EXPECT_EQ(tids(path_.string() + ".2"), (Tids{3}));
  EXPECT_FALSE(fs::exists(path_.string() + ".3"));
  EXPECT_EQ(file.failures(), 0U);
}

TEST_F(JsonLinesFileTest, StartsAnewWhereOnlyOneFileIsKept) {
  JsonLinesFile file = open(700, 1);
  for (uint32_t i = 1; i <= 3; i++) ASSERT_TRUE(file.on_stall(stall(i)));
  EXPECT_EQ(tids(path_), (Tids{3}));
}

TEST_F(JsonLinesFileTest, WritesOnWhereTheFileCannotBeRotated) {
  fs::create_directories(path_.string() + ".1/full");  // a folder takes no file's name
  JsonLinesFile file = open(700, 2);
  for (uint32_t i = 1; i <= 3; i++) ASSERT_TRUE(file.on_stall(stall(i)));
  EXPECT_EQ(tids(path_), (Tids{1, 2, 3}));
}

TEST_F(JsonLinesFileTest, NoticesThatItWasMovedAway) {
  JsonLinesFile file = open();
  ASSERT_TRUE(file.on_stall(stall(1)));
  fs::rename(path_, folder_ / "old");
  ASSERT_TRUE(file.on_stall(stall(2)));
  fs::remove(path_);
  ASSERT_TRUE(file.on_stall(stall(3)));
  fs::rename(path_, folder_ / "older");
  std::ofstream(path_).close();  // a new one in its place, as logrotate's `create` makes
  ASSERT_TRUE(file.on_stall(stall(4)));
  file.reopen();
  ASSERT_TRUE(file.on_stall(stall(5)));
  EXPECT_EQ(tids(folder_ / "old"), (Tids{1}));
  EXPECT_EQ(tids(folder_ / "older"), (Tids{3}));
  EXPECT_EQ(tids(path_), (Tids{4, 5}));
}

TEST_F(JsonLinesFileTest, RefusesWhatIsNoRegularFile) {
  auto refused = [&](const fs::path& path) {
    auto file = JsonLinesFile::open({.path = path.string()}, WallClock::fixed(0), "h");
    return file ? "" : file.error().message;
  };
  fs::create_symlink(folder_ / "elsewhere", path_);
  EXPECT_NE(refused(path_).find("symbolic link"), std::string::npos);
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_NE(refused(folder_ / "fifo"), "");
  EXPECT_NE(refused("/dev/null").find("regular"), std::string::npos);
  EXPECT_NE(refused(folder_ / "no" / "file").find("--export.json-lines"), std::string::npos);
}

TEST_F(JsonLinesFileTest, CountsWhatItCannotWriteAndRecovers) {
  // A limit on the size of files fails a write half-way, as a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  JsonLinesFile file = open();
  ASSERT_TRUE(file.on_stall(stall(1)));
  auto size = fs::file_size(path_);
  rlimit full = old;
  full.rlim_cur = size + size / 2;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  EXPECT_TRUE(file.on_stall(stall(2)));
  EXPECT_TRUE(file.on_stall(stall(3)));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_EQ(file.failures(), 2U);
  EXPECT_TRUE(file.on_stall(stall(4)));
  EXPECT_EQ(tids(path_), (Tids{1, 4}));
  EXPECT_EQ(file.failures(), 2U);
}

}  // namespace
}  // namespace loopsight
