// Lines of a traced program's source, read as that program may read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace loopsight {

// Lines `first` to `last` (from 1, at most kMaxSourceLines of them) of the file that process `pid`
// calls `path`, joined by line feeds. A relative path starts at its working directory.
//
// Nothing where it cannot be had for certain: the file is none, changed after `started_ns` (of the
// program, by CLOCK_REALTIME), is longer than 4 MB or is not the process's own to read. The path is
// the process's word, so the file is opened inside its root directory, under its user and group,
// and a symbolic link cannot lead out. `file` of /etc/shadow shows nothing that the process could
// not read itself.
std::optional<std::string> read_source_lines(const std::string& proc_root, uint32_t pid,
                                             const std::string& path, uint32_t first, uint32_t last,
                                             int64_t started_ns);

constexpr uint32_t kMaxSourceLines = 12;

// The text of an expression in `lines`, from `column` of the first line to `end_column` (exclusive)
// of the last, in bytes: on one line, cleaned, at most 160 bytes. "" where the columns lie outside.
std::string cut_expression(const std::string& lines, uint32_t column, uint32_t end_column);

}  // namespace loopsight
