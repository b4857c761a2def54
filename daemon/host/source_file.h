// Lines of a traced program's source file, and the expressions in them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

namespace loopsight {

// Lines `first` to `last` (from 1) of an open file, joined by line feeds. Nothing where it has no
// such lines, they are longer than 8 KB, or what comes up to them is longer than 4 MB.
std::optional<std::string> read_lines(int file, uint32_t first, uint32_t last);

// Whether a file changed after a program started (CLOCK_REALTIME), so that it is not what runs.
bool changed_after(const struct stat& file, int64_t started_ns);

constexpr uint32_t kMaxSourceLines = 12;

// The text of an expression in `lines`, from `column` of the first line to `end_column` (exclusive)
// of the last, in bytes: on one line, cleaned, at most 160 bytes. "" where the columns lie outside.
std::string cut_expression(const std::string& lines, uint32_t column, uint32_t end_column);

}  // namespace loopsight
