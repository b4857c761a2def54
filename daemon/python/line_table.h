// From an instruction to its place in the source, by each version's own table
// (Objects/lnotab_notes.txt, Objects/locations.md in CPython).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace loopsight {

struct SourcePosition {
  uint32_t line = 0;  // from 1
  uint32_t end_line = 0;
  // Of the expression in bytes of UTF-8, from 0; the end is exclusive. Both 0: not known.
  uint32_t column = 0;
  uint32_t end_column = 0;
};

// `table` is the code object's line table, perhaps cut; `offset` the instruction's distance from
// the first one in bytes. Nothing where the table does not reach that far or has no line for it.
std::optional<SourcePosition> find_position(int minor, std::string_view table, uint32_t first_line,
                                            uint64_t offset);

}  // namespace loopsight
