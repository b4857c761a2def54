#include "daemon/report/line_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "daemon/base/fd.h"
#include "daemon/base/text.h"

namespace loopsight {

Result<LinesRead> read_lines(const std::string& path,
                             const std::function<void(std::string_view)>& on_line,
                             size_t max_line_bytes) {
  auto failed = [&](int error) {
    return failure(fmt::format("cannot read {}: {}", clean_text(path, 200), std::strerror(error)));
  };
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return failed(errno);
  LinesRead result;
  std::string line;
  bool too_long = false;
  auto end_line = [&] {
    if (!line.empty() || too_long) result.lines++;
    if (too_long)
      result.too_long++;
    else if (!line.empty())
      on_line(line);
    line.clear();
    too_long = false;
  };
  std::vector<char> buffer(1 << 16);
  for (;;) {
    ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno);
    if (got == 0) break;
    std::string_view rest(buffer.data(), static_cast<size_t>(got));
    while (!rest.empty()) {
      size_t end = rest.find('\n');
      std::string_view piece = rest.substr(0, end);
      if (line.size() + piece.size() > max_line_bytes) {
        too_long = true;
        line.clear();
      }
      if (!too_long) line += piece;
      if (end == std::string_view::npos) break;
      end_line();
      rest.remove_prefix(end + 1);
    }
  }
  end_line();
  return result;
}

}  // namespace loopsight
