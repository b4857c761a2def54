// Every recording in this folder through the pipeline, held to what must be true of any.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>

#include "daemon/event/recording.h"
#include "daemon/pipeline.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

struct Collected : Sink {
  std::vector<StallReport> stalls;
  Summary summary;
  Result<void> on_stall(const StallReport& report) override {
    stalls.push_back(report);
    return {};
  }
  Result<void> on_summary(const Summary& last) override {
    summary = last;
    return {};
  }
};

struct Replayed {
  Collected sink;
  uint64_t undecodable = 0;
  uint64_t inconsistent = 0;
};

// `keep` says of the record with this number whether it arrives.
Replayed replay_file(const std::filesystem::path& path,
                     const std::function<bool(uint64_t, const ls_header&)>& keep) {
  Replayed replayed;
  auto reader = RecordingReader::open(path.string());
  EXPECT_TRUE(reader) << path;
  if (!reader) return replayed;
  Pipeline pipeline(reader->header().threshold_ns, {&replayed.sink});
  uint64_t number = 0;
  auto read = reader->read([&](std::span<const std::byte> bytes) {
    ls_header header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (keep(number++, header)) {
      EXPECT_TRUE(pipeline.feed(bytes));
    }
  });
  EXPECT_TRUE(read);
  EXPECT_TRUE(pipeline.finish(1));
  replayed.undecodable = pipeline.undecodable();
  replayed.inconsistent = pipeline.timeline().inconsistent_records();
  return replayed;
}

std::vector<std::filesystem::path> recordings() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(LOOPSIGHT_RECORDINGS))
    if (entry.path().extension() == ".lsrec") paths.push_back(entry.path());
  return paths;
}

void expect_invariants(const Replayed& replayed, uint64_t threshold_ns) {
  std::map<LoopId, uint64_t> last_end;
  for (const StallReport& report : replayed.sink.stalls) {
    const Stall& stall = report.stall;
    uint64_t sum = std::accumulate(stall.causes.begin(), stall.causes.end(), uint64_t{0});
    EXPECT_EQ(sum, stall.duration_ns());  // exactly, so within the contract's 1 %
    EXPECT_GE(stall.duration_ns(), threshold_ns);
    EXPECT_FALSE(report.advice.empty());
    if (stall.wait) {
      EXPECT_GE(stall.wait->start_ns, stall.start_ns);
      EXPECT_LE(stall.wait->start_ns + stall.wait->duration_ns, stall.end_ns);
    }
    if (stall.in_progress) continue;
    EXPECT_GE(stall.start_ns, last_end[stall.loop]);  // no two of a loop overlap
    last_end[stall.loop] = stall.end_ns;
  }
  EXPECT_EQ(replayed.undecodable, 0U);
  EXPECT_EQ(replayed.inconsistent, 0U);
}

class Recording : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Recording, KeepsTheInvariants) {
  auto replayed = replay_file(GetParam(), [](uint64_t, const ls_header&) { return true; });
  EXPECT_FALSE(replayed.sink.stalls.empty());
  EXPECT_EQ(replayed.sink.summary.stalls,
            static_cast<uint64_t>(std::count_if(
                replayed.sink.stalls.begin(), replayed.sink.stalls.end(),
                [](const StallReport& report) { return !report.stall.in_progress; })));
  expect_invariants(replayed, RecordingReader::open(GetParam().string())->header().threshold_ns);
}

TEST_P(Recording, KeepsThemWhenEveryThirdRecordIsLost) {
  for (uint64_t phase = 0; phase < 3; phase++) {
    auto replayed = replay_file(
        GetParam(), [&](uint64_t number, const ls_header&) { return number % 3 != phase; });
    expect_invariants(replayed, RecordingReader::open(GetParam().string())->header().threshold_ns);
  }
}

TEST_P(Recording, IsDeterministic) {
  auto all = [](uint64_t, const ls_header&) { return true; };
  auto first = replay_file(GetParam(), all);
  auto second = replay_file(GetParam(), all);
  WallClock clock = WallClock::fixed(0);
  ASSERT_EQ(first.sink.stalls.size(), second.sink.stalls.size());
  for (size_t i = 0; i < first.sink.stalls.size(); i++)
    EXPECT_EQ(stall_json(first.sink.stalls[i], clock, ""),
              stall_json(second.sink.stalls[i], clock, ""));
}

INSTANTIATE_TEST_SUITE_P(All, Recording, testing::ValuesIn(recordings()), [](const auto& one) {
  std::string name = one.param.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace loopsight
