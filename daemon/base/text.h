// Text at the border: durations as users write them, and names of traced processes, which are
// hostile until they have passed through here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace loopsight {

// "50ms", "2s", "1.5s", "3m" -> nanoseconds. Errors: no number, no or an unknown unit, zero,
// negative, more than 24 hours.
Result<uint64_t> parse_duration_ns(std::string_view text);

// Three significant digits with the unit that suits: "150 ms", "2.41 s", "0.52 ms".
std::string format_duration(uint64_t ns);

// Valid UTF-8 without characters that are not seen, at most `max_bytes` long: invalid bytes become
// U+FFFD; controls, format characters (joiners, tags, bidirectional overrides) and blank fillers
// '?'; of marks set on one character those after the second go; a cut text ends in an ellipsis.
std::string clean_text(std::string_view raw, size_t max_bytes);

// What the name of a program ends in that might else be taken for that of a unit or a container:
// anybody may call a script nginx.service.
constexpr std::string_view kArgvMark = " (argv)";

// The bytes of a fixed-size, perhaps unterminated C string.
std::string_view fixed_string(const char* data, size_t size);

// CLOCK_REALTIME nanoseconds -> "2026-11-22T18:04:05.123456Z".
std::string format_utc(uint64_t realtime_ns);

}  // namespace loopsight
