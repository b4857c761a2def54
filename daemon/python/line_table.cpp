#include "daemon/python/line_table.h"

#include <cstddef>

namespace loopsight {
namespace {

constexpr uint64_t kCodeUnit = 2;

std::optional<SourcePosition> only_line(int64_t line) {
  if (line <= 0 || line > INT32_MAX) return std::nullopt;
  auto number = static_cast<uint32_t>(line);
  return SourcePosition{.line = number, .end_line = number};
}

uint8_t byte_at(std::string_view table, size_t at) { return static_cast<uint8_t>(table[at]); }

// 3.8 and 3.9: pairs of (bytes of code, signed lines).
std::optional<SourcePosition> find_in_lnotab(std::string_view table, uint32_t first_line,
                                             uint64_t offset) {
  int64_t line = first_line;
  uint64_t address = 0;
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    address += byte_at(table, i);
    if (address > offset) break;
    line += static_cast<int8_t>(table[i + 1]);
  }
  return only_line(line);
}

// 3.10: pairs of (bytes of code, signed lines), the lines belonging to the bytes; -128: no line.
std::optional<SourcePosition> find_in_linetable(std::string_view table, uint32_t first_line,
                                                uint64_t offset) {
  int64_t line = first_line;
  uint64_t end = 0;
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    auto delta = static_cast<int8_t>(table[i + 1]);
    end += byte_at(table, i);
    if (delta != -128) line += delta;
    if (offset < end) return delta == -128 ? std::nullopt : only_line(line);
  }
  return std::nullopt;
}

// A reader of the variable-length numbers of 3.11's location table.
class Varints {
 public:
  Varints(std::string_view table, size_t at) : table_(table), at_(at) {}

  bool next(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; at_ < table_.size() && shift < 36; shift += 6) {
      uint8_t byte = byte_at(table_, at_++);
      value |= static_cast<uint64_t>(byte & 63) << shift;
      if (!(byte & 64)) return true;
    }
    return false;
  }

  bool next_byte(uint64_t& value) {
    if (at_ >= table_.size()) return false;
    value = byte_at(table_, at_++);
    return true;
  }

  bool next_signed(int64_t& value) {
    uint64_t raw = 0;
    if (!next(raw)) return false;
    value = raw & 1 ? -static_cast<int64_t>(raw >> 1) : static_cast<int64_t>(raw >> 1);
    return true;
  }

 private:
  std::string_view table_;
  size_t at_;
};

// Columns as a person of CPython counts them: from 0, in bytes of UTF-8. None are given where they
// cannot be or the table was cut.
void set_columns(SourcePosition& position, uint64_t column, uint64_t end_column) {
  constexpr uint64_t kWidest = 100'000;
  if (column > kWidest || end_column > kWidest) return;
  if (position.line == position.end_line && end_column <= column) return;
  position.column = static_cast<uint32_t>(column);
  position.end_column = static_cast<uint32_t>(end_column);
}

// What one entry of the location table says, `line` being that of the entry before it and then its
// own; nothing where it is damaged.
std::optional<SourcePosition> read_entry(std::string_view table, size_t at, int64_t& line) {
  unsigned kind = byte_at(table, at) >> 3 & 15;
  Varints rest(table, at + 1);
  uint64_t column = UINT64_MAX;
  uint64_t end_column = UINT64_MAX;
  if (kind <= 9) {  // one byte: bits of the column, and the width
    uint64_t byte = 0;
    if (rest.next_byte(byte)) {
      column = kind << 3 | (byte >> 4 & 7);
      end_column = column + (byte & 15);
    }
  } else if (kind <= 12) {
    line += kind - 10;
    if (!rest.next_byte(column) || !rest.next_byte(end_column)) column = UINT64_MAX;
  } else if (kind <= 14) {
    int64_t delta = 0;
    if (!rest.next_signed(delta)) return std::nullopt;
    line += delta;
  }
  auto position = kind == 15 ? std::nullopt : only_line(line);
  if (!position) return position;
  if (kind == 14) {
    uint64_t lines = 0;
    if (!rest.next(lines) || lines > 10'000) return position;
    if (!rest.next(column) || !rest.next(end_column) || column == 0 || end_column == 0)
      return position;
    position->end_line += static_cast<uint32_t>(lines);
    column--;
    end_column--;
  }
  set_columns(*position, column, end_column);
  return position;
}

// 3.11 and newer: entries of one head byte (bit 7 set; 4 bits of kind, 3 of length) and what its
// kind needs; the length is in code units.
std::optional<SourcePosition> find_in_locations(std::string_view table, uint32_t first_line,
                                                uint64_t offset) {
  int64_t line = first_line;
  uint64_t end = 0;
  size_t at = 0;
  while (at < table.size()) {
    uint8_t head = byte_at(table, at);
    if (!(head & 0x80)) return std::nullopt;
    end += ((head & 7) + 1) * kCodeUnit;
    auto position = read_entry(table, at, line);
    if (offset < end) return position;
    // The next entry begins at the next byte with bit 7 set.
    do at++;
    while (at < table.size() && !(byte_at(table, at) & 0x80));
  }
  return std::nullopt;
}

}  // namespace

std::optional<SourcePosition> find_position(int minor, std::string_view table, uint32_t first_line,
                                            uint64_t offset) {
  if (minor <= 9) return find_in_lnotab(table, first_line, offset);
  if (minor == 10) return find_in_linetable(table, first_line, offset);
  return find_in_locations(table, first_line, offset);
}

}  // namespace loopsight
