// Text by the columns that it takes on a terminal.
#include <cwchar>
#include <utility>

#include "daemon/base/text.h"
#include "daemon/top/top_screen.h"

namespace loopsight {

Clipped clip(std::string_view text, size_t width, bool ascii_only) {
  std::string clean = clean_text(text, 4 * width + 16);
  std::string fitted;
  size_t used = 0;
  for (size_t i = 0; i < clean.size() && used < width;) {
    auto first = static_cast<unsigned char>(clean[i]);
    size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    std::string piece = clean.substr(i, length);
    i += length;
    int columns = 1;
    if (length > 1) {
      auto code = static_cast<wchar_t>(first & (0xFF >> (length + 1)));
      for (size_t j = 1; j < piece.size(); j++)
        code = static_cast<wchar_t>((code << 6) | (static_cast<unsigned char>(piece[j]) & 0x3F));
      columns = ascii_only ? -1 : wcwidth(code);
      // Marks of no width would join what stands before them, the border of a column at worst.
      if (columns == 0) continue;
    }
    if (columns < 0) {
      piece = "?";
      columns = 1;
    }
    if (used + static_cast<size_t>(columns) > width) break;
    fitted += piece;
    used += static_cast<size_t>(columns);
  }
  return {std::move(fitted), used};
}

std::string fit(std::string_view text, size_t width, bool ascii_only) {
  Clipped clipped = clip(text, width, ascii_only);
  return clipped.text + std::string(width - clipped.columns, ' ');
}

}  // namespace loopsight
