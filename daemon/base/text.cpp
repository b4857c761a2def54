#include "daemon/base/text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <ctime>

#include "daemon/base/unicode_ranges.h"

namespace loopsight {
namespace {

constexpr uint64_t kMaxDurationNs = 24ULL * 3600 * 1000000000;

// The length of the well-formed UTF-8 sequence at the start of `text`, 0 where there is none
// (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  auto tail = [&](size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

uint32_t code_point(std::string_view character) {
  auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(character[i]));
  };
  switch (character.size()) {
    case 1: return byte(0);
    case 2: return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3: return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
  }
}

template <size_t N>
bool is_among(const std::array<CodePoints, N>& ranges, uint32_t point) {
  auto range =
      std::upper_bound(ranges.begin(), ranges.end(), point,
                       [](uint32_t value, const CodePoints& one) { return value <= one.last; });
  return range != ranges.end() && point >= range->first;
}

}  // namespace

Result<uint64_t> parse_duration_ns(std::string_view text) {
  auto invalid = [&](std::string_view why) {
    return failure(fmt::format("duration '{}': {}; write a number and ms, s or m, like 50ms",
                               clean_text(text, 40), why));
  };
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) return invalid("no number");
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  double scale = 0;
  if (unit == "ms")
    scale = 1e6;
  else if (unit == "s")
    scale = 1e9;
  else if (unit == "m")
    scale = 60e9;
  else
    return invalid(unit.empty() ? "no unit" : "unknown unit");
  double ns = number * scale;
  if (ns < 1) return invalid("must be more than zero");
  if (ns > static_cast<double>(kMaxDurationNs)) return invalid("longer than 24 hours");
  return static_cast<uint64_t>(std::llround(ns));
}

std::string format_duration(uint64_t ns) {
  double value = static_cast<double>(ns);
  if (ns < 1000) return fmt::format("{} ns", ns);
  const char* unit = "us";
  double scaled = value / 1e3;
  if (scaled >= 999.5) {
    unit = "ms";
    scaled = value / 1e6;
  }
  if (unit[0] == 'm' && scaled >= 999.5) {
    unit = "s";
    scaled = value / 1e9;
  }
  int decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", scaled, decimals, unit);
}

std::string clean_text(std::string_view raw, size_t max_bytes) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  constexpr std::string_view kEllipsis = "\xE2\x80\xA6";
  constexpr size_t kMostMarks = 2;  // on one character: more cover the lines above and below
  std::string clean;
  size_t marks = kMostMarks;  // there is no character yet to set one on
  while (!raw.empty()) {
    size_t length = utf8_length(raw);
    std::string_view piece = length == 0 ? kReplacement : raw.substr(0, length);
    uint32_t point = code_point(piece);
    bool is_plain = point >= 0x20 && point < 0x7F;
    if (!is_plain && is_among(kHidden, point)) {
      piece = "?";
    } else if (!is_plain && is_among(kMarks, point)) {
      if (marks >= kMostMarks) {
        if (clean.empty() && max_bytes > 0) clean.push_back('?');
        raw.remove_prefix(length);
        continue;
      }
      marks++;
    } else {
      marks = 0;
    }
    if (clean.size() + piece.size() > max_bytes) {
      while (!clean.empty() && clean.size() + kEllipsis.size() > max_bytes) {
        while (!clean.empty() && (static_cast<unsigned char>(clean.back()) & 0xC0) == 0x80)
          clean.pop_back();
        if (!clean.empty()) clean.pop_back();
      }
      if (max_bytes >= kEllipsis.size()) clean += kEllipsis;
      break;
    }
    clean += piece;
    raw.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

std::string_view fixed_string(const char* data, size_t size) { return {data, strnlen(data, size)}; }

std::string format_utc(uint64_t realtime_ns) {
  auto seconds = static_cast<std::time_t>(realtime_ns / 1000000000);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06d}Z", fmt::gmtime(seconds),
                     realtime_ns % 1000000000 / 1000);
}

}  // namespace loopsight
