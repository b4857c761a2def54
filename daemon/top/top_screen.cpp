#include "daemon/top/top_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "daemon/base/text.h"
#include "daemon/event/event.h"
#include "daemon/top/cause_letters.h"
#include "daemon/top/top_help.h"

namespace loopsight {
namespace {

constexpr size_t kListOverhead = 3;  // the head, the titles, the foot

std::string percent(double share) { return fmt::format("{:5.1f}%", share * 100); }

std::string seconds_text(double seconds) {
  return format_duration(static_cast<uint64_t>(std::llround(std::clamp(seconds, 0.0, 9e9) * 1e9)));
}

std::string counted(uint64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// At blanks, so that no line is longer than `width` where words allow it.
std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(' ', begin), text.size());
    std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.size() + 1 + word.size() > width)
      lines.push_back(std::exchange(line, ""));
    line += (line.empty() ? "" : " ") + word;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

std::string loop_name(const TopLoop& loop) {
  return fmt::format("{}[{}]", loop.workload, loop.worker);
}

// Which columns there is room for.
struct Layout {
  size_t bar = 0;
  size_t loop = 0;
  size_t waited = 0;
  size_t culprit = 0;
};

Layout layout(size_t width, bool has_victims) {
  constexpr size_t kNumbers = 6 + 1 + 6 + 1 + 6 + 1;  // blocked, busy, stalls
  size_t left = width > kNumbers ? width - kNumbers : 0;
  Layout result;
  if (width >= 50) result.bar = width >= 100 ? 20 : 12;
  if (has_victims && width >= 76) result.waited = 13;
  for (size_t column : {result.bar, result.waited})
    if (column > 0) left -= std::min(left, column + 1);
  result.loop = width >= 60 ? std::min<size_t>(left * 2 / 5, 30) : left;
  if (width >= 60) result.culprit = left - std::min(left, result.loop + 1);
  return result;
}

void add(ScreenLine& line, const std::string& text, Style style = Style::kPlain) {
  line.push_back({text, style});
}

ScreenLine one(const std::string& text, Style style = Style::kPlain) { return {{text, style}}; }

// A letter a cell: causes in the order of their share, dots for the idle rest.
void add_bar(ScreenLine& line, const TopRow& row, size_t width) {
  std::vector<size_t> order(row.cause_shares.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return row.cause_shares[a] > row.cause_shares[b]; });
  size_t drawn = 0;
  double sum = 0;
  for (size_t cause : order) {
    sum += row.cause_shares[cause];
    auto until = static_cast<size_t>(std::lround(std::min(1.0, sum) * static_cast<double>(width)));
    if (until > drawn)
      add(line, std::string(until - drawn, cause_letter(cause)), cause_style(cause));
    drawn = std::max(drawn, until);
  }
  if (drawn < width) add(line, std::string(width - drawn, '.'), Style::kDim);
}

std::string newest(const TopRow& row) {
  if (row.recent.empty()) return "";
  const TopStall& stall = row.recent.front();
  return fmt::format("{} {}{} {}", stall.culprit.empty() ? "(no frames)" : stall.culprit,
                     seconds_text(stall.seconds), stall.in_progress ? "..." : "", stall.cause);
}

std::string waited(const TopRow& row) {
  if (row.delayed_events <= 0) return "";
  return fmt::format("{:.0f}/{}", row.delayed_events, seconds_text(row.delayed_seconds));
}

ScreenLine row_line(const TopRow& row, const Layout& columns, bool chosen, bool ascii) {
  ScreenLine line;
  Style plain = chosen ? Style::kChosen : Style::kPlain;
  bool stalled = row.loop.stalled_seconds > 0;
  add(line, percent(row.blocked_share),
      stalled                              ? Style::kAlarm
      : (row.blocked_share > 0 && !chosen) ? Style::kCode
                                           : plain);
  add(line, fmt::format(" {} {:>6} ", percent(row.busy_share), row.stalls), plain);
  if (columns.bar > 0) {
    add_bar(line, row, columns.bar);
    add(line, " ", plain);
  }
  add(line, fit(loop_name(row.loop), columns.loop, ascii), plain);
  if (columns.waited > 0) add(line, " " + fit(waited(row), columns.waited, ascii), plain);
  if (columns.culprit > 0) add(line, " " + fit(newest(row), columns.culprit, ascii), plain);
  return line;
}

ScreenLine title_line(const Layout& columns) {
  std::string text = "BLOCKD   BUSY STALLS ";
  if (columns.bar > 0) text += fit("CAUSES", columns.bar) + " ";
  text += fit("LOOP", columns.loop);
  if (columns.waited > 0) text += " " + fit("WAITED", columns.waited);
  if (columns.culprit > 0) text += " " + fit("NEWEST STALL", columns.culprit);
  return one(text, Style::kTitle);
}

ScreenLine head_line(const TopView& view, const TopStatus& status) {
  ScreenLine line;
  add(line, "loopsight top ", Style::kTitle);
  add(line, fmt::format(" {}, {}, {}, by {}", status.source, counted(view.shown().size(), "loop"),
                        counted(status.stalls, "stall"), sort_name(view.sort())));
  if (!view.filter().empty() && view.mode() != TopMode::kFilter)
    add(line, fmt::format(", /{}", view.filter()));
  if (view.is_paused()) add(line, " PAUSED", Style::kAlarm);
  return line;
}

std::vector<ScreenLine> list_lines(const TopView& view, const TopStatus& status, size_t width,
                                   size_t height) {
  const auto& rows = view.shown();
  bool victims = std::any_of(rows.begin(), rows.end(),
                             [](const TopRow* row) { return row->delayed_events > 0; });
  Layout columns = layout(width, victims);
  std::vector<ScreenLine> lines = {head_line(view, status), title_line(columns)};
  size_t room = rows_of_list(height);
  size_t first = view.chosen() >= room && room > 0 ? view.chosen() - room + 1 : 0;
  for (size_t i = first; i < rows.size() && i < first + room; i++)
    lines.push_back(row_line(*rows[i], columns, i == view.chosen(), status.ascii_only));
  if (rows.empty())
    lines.push_back(
        one(view.filter().empty() ? "no event loop is seen yet" : "no loop has this name",
            Style::kDim));
  while (lines.size() + 1 < height) lines.emplace_back();
  if (view.mode() == TopMode::kFilter)
    lines.push_back(
        one(fmt::format("/{}_  Enter: keep  Esc: leave", view.filter()), Style::kTitle));
  else if (!status.error.empty())
    lines.push_back(one(status.error, Style::kAlarm));
  else
    lines.push_back(one("q quit  s sort  / filter  Enter details  p pause  ? help", Style::kDim));
  return lines;
}

std::vector<ScreenLine> detail_lines(const TopView& view, const TopStatus& status, size_t width,
                                     size_t height) {
  const TopRow& row = *view.shown()[view.chosen()];
  const TopLoop& loop = row.loop;
  std::vector<ScreenLine> body;
  body.push_back(one(fmt::format("{}  pid {}  tid {}  {}  python {}", loop_name(loop), loop.pid,
                                 loop.tid, loop.kind, loop.python),
                     Style::kTitle));
  body.push_back(one(fmt::format("blocked{}, busy{}, {:.0f} iterations, {} stalls seen",
                                 percent(row.blocked_share), percent(row.busy_share),
                                 loop.iterations, row.stalls)));
  if (loop.stalled_seconds > 0)
    body.push_back(one("stalled for " + seconds_text(loop.stalled_seconds), Style::kAlarm));
  if (row.delayed_events > 0)
    body.push_back(one(fmt::format("{:.0f} events waited for its stalls, {} together",
                                   row.delayed_events, seconds_text(row.delayed_seconds))));
  for (size_t cause = 0; cause < row.cause_shares.size(); cause++)
    if (row.cause_shares[cause] >= 0.0005)
      body.push_back(
          {{fmt::format("  {} ", cause_letter(cause)), cause_style(cause)},
           {fmt::format("{:<11}{}", kCauseNames[cause], percent(row.cause_shares[cause])),
            Style::kPlain}});
  body.push_back(one("newest stalls (UTC)", Style::kTitle));
  for (const TopStall& stall : row.recent) {
    body.push_back(
        one(fmt::format("{} {:>8} {}{} {} {}", stall.time, seconds_text(stall.seconds), stall.cause,
                        stall.in_progress ? " so far" : "", stall.culprit, stall.place)));
    if (&stall == &row.recent.front())
      for (const std::string& line : wrapped(stall.advice, width > 2 ? width - 2 : 1))
        body.push_back(one("  " + line, Style::kDim));
  }
  std::vector<ScreenLine> lines = {head_line(view, status)};
  size_t room = height > 2 ? height - 2 : 0;
  size_t skip = std::min(view.scroll(), body.size() > room ? body.size() - room : 0);
  for (size_t i = skip; i < body.size() && i < skip + room; i++) lines.push_back(body[i]);
  while (lines.size() + 1 < height) lines.emplace_back();
  lines.push_back(one("Esc back  j/k scroll  p pause  ? help  q quit", Style::kDim));
  return lines;
}

}  // namespace

size_t rows_of_list(size_t height) { return height > kListOverhead ? height - kListOverhead : 0; }

std::vector<ScreenLine> draw_top(const TopView& view, const TopStatus& status, size_t width,
                                 size_t height) {
  std::vector<ScreenLine> lines;
  if (view.mode() == TopMode::kHelp)
    lines = help_lines();
  else if (view.mode() == TopMode::kDetails && !view.shown().empty())
    lines = detail_lines(view, status, width, height);
  else
    lines = list_lines(view, status, width, height);
  if (lines.size() > height) lines.resize(height);
  for (ScreenLine& line : lines) {
    size_t left = width;
    for (Span& span : line) {
      Clipped clipped = clip(span.text, left, status.ascii_only);
      span.text = std::move(clipped.text);
      left -= clipped.columns;
    }
  }
  return lines;
}

}  // namespace loopsight
