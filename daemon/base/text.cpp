#include "daemon/base/text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <ctime>

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

// A character that is not seen but breaks or reorders the line that it is in: the C1 controls
// (U+0080 to U+009F), the line and paragraph separators, and Unicode's bidirectional controls with
// their isolates (U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069).
bool is_format(std::string_view character) {
  auto last = static_cast<unsigned char>(character.back());
  std::string_view before = character.substr(0, character.size() - 1);
  if (before == "\xC2") return last < 0xA0;
  if (before == "\xD8") return last == 0x9C;
  if (before == "\xE2\x80") return last == 0x8E || last == 0x8F || (last >= 0xA8 && last <= 0xAE);
  return before == "\xE2\x81" && last >= 0xA6 && last <= 0xA9;
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
  std::string clean;
  while (!raw.empty()) {
    size_t length = utf8_length(raw);
    std::string_view piece = length == 0 ? kReplacement : raw.substr(0, length);
    unsigned char first = static_cast<unsigned char>(raw[0]);
    bool control = length == 1 && (first < 0x20 || first == 0x7F);
    if (control || (length > 1 && is_format(piece))) piece = "?";
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
