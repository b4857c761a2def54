// Lines of a file that somebody else wrote, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace loopsight {

constexpr size_t kMaxLineBytes = 1 << 20;

struct LinesRead {
  uint64_t lines = 0;
  uint64_t too_long = 0;  // not handed over
};

// Calls `on_line` with each line that is not empty, without its end. Errors: the file cannot be
// opened or read.
Result<LinesRead> read_lines(const std::string& path,
                             const std::function<void(std::string_view)>& on_line,
                             size_t max_line_bytes = kMaxLineBytes);

}  // namespace loopsight
