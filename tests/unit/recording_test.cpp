#include "daemon/event/recording.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "daemon/command/feed_recording.h"
#include "daemon/event/codec.h"

namespace loopsight {
namespace {

class RecordingTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "loopsight-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    path_ = directory_ + "/a.lsrec";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write_three() {
    auto writer = RecordingWriter::create(
        path_, {.wall_offset_ns = -5, .threshold_ns = 50, .host = "a host"});
    ASSERT_TRUE(writer);
    for (uint64_t i = 1; i <= 3; i++)
      ASSERT_TRUE(writer->write(encode(Lost{.time_ns = i, .records = i})));
    ASSERT_TRUE(writer->close());
  }

  std::string directory_;
  std::string path_;
};

TEST_F(RecordingTest, GivesBackWhatWasWritten) {
  write_three();
  auto reader = RecordingReader::open(path_);
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->header().wall_offset_ns, -5);
  EXPECT_EQ(reader->header().threshold_ns, 50U);
  EXPECT_EQ(reader->header().host, "a host");
  std::vector<uint64_t> seen;
  auto result = reader->read([&](std::span<const std::byte> bytes) {
    seen.push_back(std::get<Lost>(*decode(bytes)).records);
  });
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->cut_off);
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2, 3}));
}

TEST_F(RecordingTest, IsReadableByItsOwnerAlone) {
  write_three();
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(RecordingTest, ReadsAFileThatWasCutOffUpToThere) {
  write_three();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  auto reader = RecordingReader::open(path_);
  ASSERT_TRUE(reader);
  int seen = 0;
  auto result = reader->read([&](std::span<const std::byte>) { seen++; });
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->cut_off);
  EXPECT_EQ(seen, 2);
}

TEST_F(RecordingTest, RefusesWhatIsNoRecording) {
  EXPECT_FALSE(RecordingReader::open(path_));
  EXPECT_FALSE(RecordingReader::open("/"));
  EXPECT_FALSE(RecordingReader::open("/dev/zero"));
  std::ofstream(path_) << "no recording, but long enough to hold the header of one: "
                       << std::string(200, 'x');
  auto reader = RecordingReader::open(path_);
  ASSERT_FALSE(reader);
  EXPECT_NE(reader.error().message.find("not a recording"), std::string::npos);
}

TEST_F(RecordingTest, RefusesALengthThatCannotBe) {
  write_three();
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  uint32_t huge = 0xFFFFFFFF;
  file.seekp(-static_cast<int>(sizeof(ls_header) + 8) + 4, std::ios::end);
  file.write(reinterpret_cast<char*>(&huge), sizeof(huge));
  file.close();
  auto reader = RecordingReader::open(path_);
  ASSERT_TRUE(reader);
  EXPECT_FALSE(reader->read([](std::span<const std::byte>) {}));
}

struct LastSummary : Sink {
  Result<void> on_stall(const StallReport&) override { return {}; }
  Result<void> on_summary(const Summary& last) override {
    summary = last;
    return {};
  }
  Summary summary;
};

TEST_F(RecordingTest, ADamagedTimeWasNotWatched) {
  auto writer = RecordingWriter::create(path_, {.threshold_ns = 50});
  ASSERT_TRUE(writer);
  for (uint64_t time_ns : {uint64_t{10}, UINT64_MAX, uint64_t{30}})
    ASSERT_TRUE(writer->write(encode(Lost{.time_ns = time_ns, .records = 1})));
  ASSERT_TRUE(writer->close());
  auto reader = RecordingReader::open(path_);
  ASSERT_TRUE(reader);
  LastSummary sink;
  Pipeline pipeline(50, {&sink});
  ASSERT_TRUE(feed_recording(*reader, pipeline, path_));
  EXPECT_EQ(pipeline.undecodable(), 1U);
  EXPECT_EQ(sink.summary.watched_ns, 20U);
  EXPECT_EQ(sink.summary.lost, 2U);
}

}  // namespace
}  // namespace loopsight
