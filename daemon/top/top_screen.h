// The view as lines of styled text, without a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/top/top_view.h"

namespace loopsight {

enum class Style { kPlain, kTitle, kChosen, kCode, kHost, kCpu, kDim, kAlarm };

struct Span {
  std::string text;
  Style style = Style::kPlain;
};

using ScreenLine = std::vector<Span>;

struct TopStatus {
  std::string source;  // where the numbers come from
  std::string error;   // of the newest look, "" where it went well
  uint64_t stalls = 0;
  bool ascii_only = false;  // the terminal's character set has nothing else
};

// At most `height` lines of at most `width` columns.
std::vector<ScreenLine> draw_top(const TopView& view, const TopStatus& status, size_t width,
                                 size_t height);

// How many rows of loops such a screen has.
size_t rows_of_list(size_t height);

struct Clipped {
  std::string text;
  size_t columns = 0;
};

// Clean, and cut to at most `width` columns; what has no certain width becomes '?'.
Clipped clip(std::string_view text, size_t width, bool ascii_only = false);

// The same, filled with blanks to `width` columns.
std::string fit(std::string_view text, size_t width, bool ascii_only = false);

}  // namespace loopsight
