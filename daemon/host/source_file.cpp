#include "daemon/host/source_file.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "daemon/base/text.h"
#include "daemon/host/source_protocol.h"
#include "daemon/host/source_walk.h"

namespace loopsight {
namespace {

constexpr size_t kMaxExpression = 160;
constexpr int64_t kNsPerSecond = 1'000'000'000;

int64_t nanoseconds(const timespec& time) { return time.tv_sec * kNsPerSecond + time.tv_nsec; }

}  // namespace

bool changed_after(const struct stat& file, int64_t started_ns) {
  constexpr int64_t kSlackNs = kNsPerSecond / 2;  // ticks and file times are coarse
  int64_t changed = std::max(nanoseconds(file.st_mtim), nanoseconds(file.st_ctim));
  return changed - kSlackNs > started_ns;
}

std::optional<std::string> read_lines(int file, uint32_t first, uint32_t last) {
  std::string lines;
  std::string buffer(65536, '\0');
  uint32_t line = 1;
  for (int64_t total = 0; total <= kMaxSourceFileBytes;) {
    ssize_t got = read(file, buffer.data(), buffer.size());
    if (got < 0) return std::nullopt;
    if (got == 0) {
      bool there = line == last && !lines.empty() && lines.back() != '\n';
      return there ? std::optional(lines) : std::nullopt;
    }
    total += got;
    for (char c : std::string_view(buffer.data(), static_cast<size_t>(got))) {
      if (line >= first && (c != '\n' || line < last)) lines += c;
      if (lines.size() > kMaxSourceLinesBytes) return std::nullopt;
      if (c == '\n' && ++line > last) return lines;
    }
  }
  return std::nullopt;
}

std::string cut_expression(const std::string& lines, uint32_t column, uint32_t end_column) {
  std::string_view text(lines);
  size_t last_start = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
  size_t end = last_start + end_column;
  size_t first_end = std::min(text.find('\n'), text.size());
  if (end_column == 0 || column >= first_end || end > text.size() || end <= column) return "";
  std::string_view part = text.substr(column, end - column);
  // Of a statement with a body only its head says what ran.
  if (part.starts_with("with ") || part.starts_with("async with "))
    part = part.substr(0, part.find('\n'));
  if (part.ends_with(':')) part.remove_suffix(1);
  std::string expression;
  bool blank = false;
  for (char c : part) {
    if (std::isspace(static_cast<unsigned char>(c))) {
      blank = true;
      continue;
    }
    // What was broken after a bracket is joined as it would be written on one line.
    if (blank && !expression.empty() && expression.back() != '(' && expression.back() != '[' &&
        c != ')' && c != ']')
      expression += ' ';
    blank = false;
    expression += c;
  }
  return clean_text(expression, kMaxExpression);
}

}  // namespace loopsight
