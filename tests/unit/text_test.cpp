#include "daemon/base/text.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

TEST(ParseDuration, TakesEachUnit) {
  EXPECT_EQ(*parse_duration_ns("50ms"), 50'000'000U);
  EXPECT_EQ(*parse_duration_ns("2s"), 2'000'000'000U);
  EXPECT_EQ(*parse_duration_ns("1.5s"), 1'500'000'000U);
  EXPECT_EQ(*parse_duration_ns("3m"), 180'000'000'000U);
  EXPECT_EQ(*parse_duration_ns("0.5ms"), 500'000U);
}

TEST(ParseDuration, RefusesTheRestWithAReason) {
  for (const char* text : {"", "ms", "50", "50us", "50 ms", "-1s", "0s", "nan s", "inf s", "1e99s",
                           "25h", "1441m", "5s5", "0x10s"}) {
    auto parsed = parse_duration_ns(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find("like 50ms"), std::string::npos) << text;
  }
}

TEST(FormatDuration, ShowsThreeDigits) {
  EXPECT_EQ(format_duration(999), "999 ns");
  EXPECT_EQ(format_duration(1'500), "1.50 us");
  EXPECT_EQ(format_duration(523'400), "523 us");
  EXPECT_EQ(format_duration(999'600), "1.00 ms");
  EXPECT_EQ(format_duration(150'240'000), "150 ms");
  EXPECT_EQ(format_duration(80'440'000), "80.4 ms");
  EXPECT_EQ(format_duration(2'412'000'000), "2.41 s");
  EXPECT_EQ(format_duration(61'000'000'000), "61.0 s");
}

TEST(CleanText, KeepsGoodUtf8) {
  EXPECT_EQ(clean_text("handler \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x8D", 100),
            "handler \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x8D");
}

TEST(CleanText, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(clean_text("a\xFFz", 100), "a\xEF\xBF\xBDz");
  EXPECT_EQ(clean_text("\xC0\xAF", 100), "\xEF\xBF\xBD\xEF\xBF\xBD");           // overlong
  EXPECT_EQ(clean_text("\xED\xA0\x80", 100).substr(0, 3), "\xEF\xBF\xBD");      // surrogate
  EXPECT_EQ(clean_text("\xF4\x90\x80\x80", 100).substr(0, 3), "\xEF\xBF\xBD");  // over U+10FFFF
  EXPECT_EQ(clean_text("\xE2\x82", 100), "\xEF\xBF\xBD\xEF\xBF\xBD");           // cut off
}

TEST(CleanText, LetsNoControlCharacterThrough) {
  EXPECT_EQ(clean_text("a\nb\x1B[31mc\x7F", 100), "a?b?[31mc?");
  EXPECT_EQ(clean_text("a\xC2\x85z", 100), "a?z");      // C1
  EXPECT_EQ(clean_text("a\xE2\x80\xAEz", 100), "a?z");  // right-to-left override
  EXPECT_EQ(clean_text("a\xE2\x80\xA8z", 100), "a?z");  // line separator
}

TEST(CleanText, CutsBetweenCharacters) {
  EXPECT_EQ(clean_text("abcdefgh", 6), "abc\xE2\x80\xA6");
  EXPECT_EQ(clean_text("\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", 8), "\xE2\x82\xAC\xE2\x80\xA6");
  EXPECT_EQ(clean_text("abcdef", 6), "abcdef");
  EXPECT_LE(clean_text(std::string(1000, '\xFF'), 10).size(), 10U);
  EXPECT_EQ(clean_text("abc", 0), "");
}

TEST(FormatUtc, ShowsMicroseconds) {
  EXPECT_EQ(format_utc(1'795'370'645'123'456'789), "2026-11-22T18:04:05.123456Z");
}

TEST(CleanText, LetsNothingTurnALineAround) {
  for (const char* hidden : {"\u061C", "\u200E", "\u200F", "\u2028", "\u202A", "\u202E", "\u2066",
                             "\u2067", "\u2068", "\u2069"})
    EXPECT_EQ(clean_text(std::string("a") + hidden + "b", 100), "a?b") << hidden;
  EXPECT_EQ(clean_text("caf\u00E9 \u0627 \u2026 \U0001F40D", 100),
            "caf\u00E9 \u0627 \u2026 \U0001F40D");
}

TEST(CleanText, ShowsNothingThatIsNotSeen) {
  for (const char* hidden :
       {"\u00AD", "\u180E", "\u200B", "\u200D", "\u2060", "\u2065", "\u206A", "\uFEFF", "\uFFF9",
        "\U000E0001", "\U000E0061", "\U000E007F", "\u3164", "\u115F", "\u2800"})
    EXPECT_EQ(clean_text(std::string("a") + hidden + "b", 100), "a?b") << hidden;
}

TEST(CleanText, SetsNoTowersOfMarks) {
  EXPECT_EQ(clean_text("e\u0301\u0323", 100), "e\u0301\u0323");
  EXPECT_EQ(clean_text("e\u0301\u0323\u0301\u20DD\u0489z\u0301", 100), "e\u0301\u0323z\u0301");
  EXPECT_EQ(clean_text("\u0301abc", 100), "?abc");  // it would be set on what stands before
  EXPECT_EQ(clean_text("\u0301", 0), "");
  EXPECT_EQ(clean_text("\u0915\u094D\u0937\u093F\u0902", 100), "\u0915\u094D\u0937\u093F\u0902");
  std::string tower = "a";
  for (int i = 0; i < 1000; i++) tower += "\u0335";
  EXPECT_EQ(clean_text(tower, 1000), "a\u0335\u0335");
}

}  // namespace
}  // namespace loopsight
