// From an instruction to a source line, by each version's own table (Objects/lnotab_notes.txt,
// Objects/locations.md in CPython).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace loopsight {

// `table` is the code object's line table, perhaps cut; `offset` the instruction's distance from
// the first one in bytes. Nothing where the table does not reach that far or has no line for it.
std::optional<uint32_t> find_line(int minor, std::string_view table, uint32_t first_line,
                                  uint64_t offset);

}  // namespace loopsight
