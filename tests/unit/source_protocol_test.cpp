#include "daemon/host/source_protocol.h"

#include <gtest/gtest.h>

#include "daemon/host/source_file.h"

namespace loopsight {
namespace {

SourceRequest request() {
  return {.number = 7,
          .as = {.user = 1000, .group = 1001, .groups = {4, 24}, .reads_all = false},
          .first = 3,
          .last = 5,
          .started_ns = 123,
          .path = "/srv/app.py",
          .host_path = "/host/app.py"};
}

bool is_taken(const SourceRequest& one) { return decode_source_request(encode(one)).has_value(); }

TEST(SourceProtocol, ARequestComesThrough) {
  auto got = decode_source_request(encode(request()));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->number, 7U);
  EXPECT_EQ(got->as, request().as);
  EXPECT_EQ(got->first, 3U);
  EXPECT_EQ(got->last, 5U);
  EXPECT_EQ(got->started_ns, 123);
  EXPECT_EQ(got->path, "/srv/app.py");
  EXPECT_EQ(got->host_path, "/host/app.py");
}

TEST(SourceProtocol, RefusesRequestsForNobodyAndNothing) {
  auto one = request();
  one.as.user = UINT32_MAX;
  EXPECT_FALSE(is_taken(one));
  one = request();
  one.as.group = UINT32_MAX;
  EXPECT_FALSE(is_taken(one));
  one = request();
  one.as.groups = {1, UINT32_MAX};
  EXPECT_FALSE(is_taken(one));
  one = request();
  one.as.reads_all = true;  // of a user who is not root
  EXPECT_FALSE(is_taken(one));
  one.as.user = 0;
  EXPECT_TRUE(is_taken(one));
  one = request();
  one.first = 0;
  EXPECT_FALSE(is_taken(one));
  one.first = 6;
  EXPECT_FALSE(is_taken(one));
  one.last = 6 + kMaxSourceLines;
  EXPECT_FALSE(is_taken(one));
  one = request();
  one.path = "";
  EXPECT_FALSE(is_taken(one));
  one.path = std::string("/a\0b", 4);
  EXPECT_FALSE(is_taken(one));
  one.path = std::string(kMaxSourcePath + 1, 'a');
  EXPECT_FALSE(is_taken(one));
  one = request();
  one.as.groups.assign(kMaxReaderGroups + 1, 1);
  EXPECT_FALSE(is_taken(one));
}

TEST(SourceProtocol, RefusesEveryCutOfAMessage) {
  auto bytes = encode(request());
  for (size_t size = 0; size < bytes.size(); size++)
    EXPECT_FALSE(decode_source_request(std::span(bytes).first(size)));
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_source_request(longer));
  EXPECT_FALSE(decode_source_answer(bytes));
}

TEST(SourceProtocol, AnAnswerSaysWhatWasAskedFor) {
  SourceAnswer answer{
      .number = 7, .outcome = SourceOutcome::kRead, .is_public = true, .text = "a\nb\nc"};
  auto got = decode_source_answer(encode(answer));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->text, "a\nb\nc");
  EXPECT_TRUE(got->is_public);
  EXPECT_TRUE(answers(*got, request()));
  got->text = "a\nb";  // of three lines
  EXPECT_FALSE(answers(*got, request()));
  got->text = "a\nb\nc\nd";
  EXPECT_FALSE(answers(*got, request()));
  got->text = "a\nb\nc";
  got->number = 6;  // came too late
  EXPECT_FALSE(answers(*got, request()));
}

TEST(SourceProtocol, RefusesAnswersThatCannotBe) {
  SourceAnswer answer{.number = 7, .outcome = SourceOutcome::kRead};
  answer.text = std::string(kMaxSourceLinesBytes + 1, 'a');
  EXPECT_FALSE(decode_source_answer(encode(answer)));
  answer = {.number = 7, .outcome = SourceOutcome::kNotThere, .is_public = false, .text = "a"};
  EXPECT_FALSE(decode_source_answer(encode(answer)));
  answer = {.number = 7, .outcome = static_cast<SourceOutcome>(kSourceOutcomes)};
  EXPECT_FALSE(decode_source_answer(encode(answer)));
  EXPECT_FALSE(decode_source_answer({}));
}

}  // namespace
}  // namespace loopsight
