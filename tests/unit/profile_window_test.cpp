#include "daemon/profile/profile_window.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <protozero/pbf_reader.hpp>

#include "daemon/web/profile.h"

namespace loopsight {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

struct Decoded {
  int64_t stalls = 0;
  int64_t ns = 0;
  int64_t time_ns = 0;
  int64_t duration_ns = 0;
  bool has_comment = false;
};

std::string unpacked(const std::string& packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string bytes(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  bytes.resize(stream.total_out);
  inflateEnd(&stream);
  return bytes;
}

Decoded decoded(const Result<std::string>& packed) {
  EXPECT_TRUE(packed);
  Decoded result;
  std::string bytes = unpacked(*packed);
  protozero::pbf_reader message(bytes);
  while (message.next()) {
    if (message.tag() == 2) {
      auto sample = message.get_message();
      while (sample.next()) {
        if (sample.tag() != 2) {
          sample.skip();
          continue;
        }
        auto values = sample.get_packed_int64();
        auto value = values.begin();
        result.stalls += *value++;
        result.ns += *value;
      }
    } else if (message.tag() == 9) {
      result.time_ns = message.get_int64();
    } else if (message.tag() == 10) {
      result.duration_ns = message.get_int64();
    } else {
      result.has_comment = result.has_comment || message.tag() == 13;
      message.skip();
    }
  }
  return result;
}

StallReport stall(uint64_t end_seconds) {
  StallReport report;
  report.process.workload = "shop";
  report.stall.start_ns = end_seconds * kSecondNs - 100'000'000;
  report.stall.end_ns = end_seconds * kSecondNs;
  report.stall.causes[LS_CAUSE_CPU] = 100'000'000;
  report.stack_times = {
      {.frames = {{.function = "f", .module = "app", .line = 3}}, .ns = 80'000'000}};
  return report;
}

TEST(ProfileWindow, HoldsTheStallsThatEndedInTheTimeAskedFor) {
  ProfileWindow window(WallClock::fixed(kSecondNs));
  for (uint64_t end : {10, 20, 21, 30}) ASSERT_TRUE(window.on_stall(stall(end)));
  StallReport running = stall(29);
  running.stall.in_progress = true;
  ASSERT_TRUE(window.on_stall(running));
  auto all = decoded(window.pprof(0, 40 * kSecondNs));
  EXPECT_EQ(all.stalls, 4);
  EXPECT_EQ(all.ns, 400'000'000);
  EXPECT_EQ(all.duration_ns, static_cast<int64_t>(40 * kSecondNs));
  auto ten = decoded(window.pprof(20 * kSecondNs, 30 * kSecondNs));  // after 20, up to 30
  EXPECT_EQ(ten.stalls, 2);
  EXPECT_EQ(ten.time_ns, static_cast<int64_t>(21 * kSecondNs));
  EXPECT_EQ(ten.duration_ns, static_cast<int64_t>(10 * kSecondNs));
  EXPECT_FALSE(ten.has_comment);
  EXPECT_EQ(decoded(window.pprof(10 * kSecondNs, 20 * kSecondNs)).stalls,
            1);  // the intervals share nothing
  EXPECT_EQ(decoded(window.pprof(49 * kSecondNs, 50 * kSecondNs)).stalls, 0);
}

TEST(ProfileWindow, SaysWhereItCouldNotKeepAll) {
  size_t one = profiled(stall(10)).bytes();
  ProfileWindow window(WallClock::fixed(0), {.bytes = 3 * one});
  for (uint64_t end = 10; end < 20; end++) ASSERT_TRUE(window.on_stall(stall(end)));
  auto cut = decoded(window.pprof(0, 20 * kSecondNs));
  EXPECT_EQ(cut.stalls, 3);
  EXPECT_EQ(cut.duration_ns, static_cast<int64_t>(4 * kSecondNs));  // since the one that went
  EXPECT_TRUE(cut.has_comment);
  EXPECT_FALSE(decoded(window.pprof(18 * kSecondNs, 20 * kSecondNs)).has_comment);
}

TEST(ProfileWindow, DropsWhatIsOld) {
  ProfileWindow window(WallClock::fixed(0), {.keep_ns = 5 * kSecondNs});
  for (uint64_t end : {10, 13, 17}) ASSERT_TRUE(window.on_stall(stall(end)));
  auto kept = decoded(window.pprof(0, 17 * kSecondNs));
  EXPECT_EQ(kept.stalls, 2);
  EXPECT_EQ(kept.duration_ns, static_cast<int64_t>(5 * kSecondNs));
}

HttpRequest asked(const std::string& seconds) {
  HttpRequest request{.path = "/debug/pprof/loopstall", .arrived_ns = 100 * kSecondNs};
  if (!seconds.empty()) request.query = {{"seconds", seconds}};
  return request;
}

TEST(LoopstallProfile, WaitsTheSecondsAndShowsWhatEndedMeanwhile) {
  ProfileWindow window(WallClock::fixed(0));
  ASSERT_TRUE(window.on_stall(stall(99)));
  auto waits = loopstall_profile(window, asked("5"), 100 * kSecondNs);
  EXPECT_GE(waits.again_ns, 105 * kSecondNs);
  for (uint64_t end : {101, 104, 106}) ASSERT_TRUE(window.on_stall(stall(end)));
  auto answer = loopstall_profile(window, asked("5"), 106 * kSecondNs);
  EXPECT_EQ(answer.status, 200U);
  EXPECT_EQ(answer.again_ns, 0U);
  EXPECT_EQ(decoded(answer.body).stalls, 2);
}

TEST(LoopstallProfile, ShowsAllAtOnceWhereNoTimeIsGiven) {
  ProfileWindow window(WallClock::fixed(0));
  for (uint64_t end : {50, 99}) ASSERT_TRUE(window.on_stall(stall(end)));
  EXPECT_EQ(decoded(loopstall_profile(window, asked(""), 100 * kSecondNs).body).stalls, 2);
}

TEST(LoopstallProfile, RefusesWhatIsNoTime) {
  ProfileWindow window(WallClock::fixed(0));
  for (const char* seconds : {"0", "601", "-1", "1.5", "x", "99999999999999999999"})
    EXPECT_EQ(loopstall_profile(window, asked(seconds), 100 * kSecondNs).status, 400U) << seconds;
}

}  // namespace
}  // namespace loopsight
