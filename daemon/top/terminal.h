// The terminal, by ncurses: any that terminfo knows, at any size, with and without colours.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/top/top_screen.h"

struct screen;

namespace loopsight {

class Terminal {
 public:
  struct Key {
    TopKey key = TopKey::kText;
    char character = 0;
  };

  // Errors: standard input or output is no terminal, or one that is not known.
  static Result<Terminal> open(bool colors);
  Terminal(Terminal&& other) noexcept;
  Terminal& operator=(Terminal&&) = delete;
  ~Terminal();  // gives the terminal back as it was

  size_t width() const;
  size_t height() const;
  bool is_ascii_only() const { return ascii_only_; }
  void draw(const std::vector<ScreenLine>& lines);
  // The next key that is there already; nothing where there is none. Takes a new size as well.
  std::optional<Key> read_key();

 private:
  Terminal(screen* screen, bool colors, bool ascii_only)
      : screen_(screen), colors_(colors), ascii_only_(ascii_only) {}
  int attributes(Style style) const;

  screen* screen_;
  bool colors_;
  bool ascii_only_;
};

}  // namespace loopsight
