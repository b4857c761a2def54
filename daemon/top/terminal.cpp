#include "daemon/top/terminal.h"

#include <curses.h>
#include <fmt/format.h>
#include <langinfo.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr short kRed = 1;
constexpr short kYellow = 2;
constexpr short kGreen = 3;

}  // namespace

Result<Terminal> Terminal::open(bool colors) {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
    return failure("top needs a terminal; 'loopsight trace' and the daemon's API do not");
  std::setlocale(LC_CTYPE, "");
  bool ascii_only = std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
  SCREEN* screen = newterm(nullptr, stdout, stdin);
  if (!screen) {
    const char* name = std::getenv("TERM");
    return failure(
        fmt::format("the terminal '{}' is not known; set TERM to one that is, like vt100",
                    clean_text(name ? name : "", 60)));
  }
  set_term(screen);
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  set_escdelay(25);
  curs_set(0);
  colors = colors && has_colors();
  if (colors) {
    start_color();
    short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
    init_pair(kRed, COLOR_RED, background);
    init_pair(kYellow, COLOR_YELLOW, background);
    init_pair(kGreen, COLOR_GREEN, background);
  }
  return Terminal(screen, colors, ascii_only);
}

Terminal::Terminal(Terminal&& other) noexcept
    : screen_(std::exchange(other.screen_, nullptr)),
      colors_(other.colors_),
      ascii_only_(other.ascii_only_) {}

Terminal::~Terminal() {
  if (!screen_) return;
  endwin();
  delscreen(screen_);
}

size_t Terminal::width() const { return static_cast<size_t>(std::max(0, getmaxx(stdscr))); }
size_t Terminal::height() const { return static_cast<size_t>(std::max(0, getmaxy(stdscr))); }

int Terminal::attributes(Style style) const {
  auto color = [&](short pair) { return colors_ ? static_cast<int>(COLOR_PAIR(pair)) : 0; };
  switch (style) {
    case Style::kPlain: return 0;
    case Style::kTitle: return static_cast<int>(A_BOLD);
    case Style::kChosen: return static_cast<int>(A_REVERSE);
    case Style::kCode: return color(kRed);
    case Style::kHost: return color(kYellow);
    case Style::kCpu: return color(kGreen);
    case Style::kDim: return static_cast<int>(A_DIM);
    case Style::kAlarm: return color(kRed) | static_cast<int>(A_BOLD);
  }
  return 0;
}

void Terminal::draw(const std::vector<ScreenLine>& lines) {
  erase();
  for (size_t row = 0; row < lines.size() && row < height(); row++) {
    move(static_cast<int>(row), 0);
    for (const Span& span : lines[row]) {
      attrset(static_cast<attr_t>(attributes(span.style)));
      addstr(span.text.c_str());
    }
  }
  attrset(A_NORMAL);
  refresh();
}

std::optional<Terminal::Key> Terminal::read_key() {
  for (;;) {
    int code = getch();
    switch (code) {
      case ERR: return std::nullopt;
      case KEY_RESIZE: continue;  // the next drawing has the new size
      case KEY_UP: return Key{TopKey::kUp, 0};
      case KEY_DOWN: return Key{TopKey::kDown, 0};
      case KEY_PPAGE: return Key{TopKey::kPageUp, 0};
      case KEY_NPAGE: return Key{TopKey::kPageDown, 0};
      case KEY_HOME: return Key{TopKey::kHome, 0};
      case KEY_END: return Key{TopKey::kEnd, 0};
      case KEY_ENTER:
      case '\r':
      case '\n': return Key{TopKey::kEnter, 0};
      case KEY_BACKSPACE:
      case 0x7F:
      case '\b': return Key{TopKey::kBackspace, 0};
      case 0x1B: return Key{TopKey::kEscape, 0};
      case 0x0C: clearok(curscr, TRUE); continue;  // Ctrl-L
      default:
        if (code >= 0x20 && code < 0x7F) return Key{TopKey::kText, static_cast<char>(code)};
    }
  }
}

}  // namespace loopsight
