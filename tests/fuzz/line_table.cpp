// Line tables of code objects.
#include "daemon/python/line_table.h"

#include "tests/fuzz/target.h"

FUZZ_TARGET(line_table, input) {
  fuzz::Bytes bytes(input);
  int minor = 8 + bytes.take<uint8_t>() % 8;
  auto first_line = bytes.take<uint32_t>();
  uint64_t offset = bytes.take<uint16_t>();
  if (offset == UINT16_MAX) offset = bytes.take<uint64_t>();
  auto position = find_position(minor, bytes.rest(), first_line, offset);
  if (!position) return;
  fuzz::require(position->line > 0 && position->end_line >= position->line, "lines in order");
  fuzz::require(position->line != position->end_line || position->column == 0 ||
                    position->column < position->end_column,
                "columns in order");
}
