#include "daemon/attribute/line_table.h"

#include <cstddef>

namespace loopsight {
namespace {

constexpr uint64_t kCodeUnit = 2;

std::optional<uint32_t> positive(int64_t line) {
  if (line <= 0 || line > INT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(line);
}

uint8_t byte_at(std::string_view table, size_t at) { return static_cast<uint8_t>(table[at]); }

// 3.8 and 3.9: pairs of (bytes of code, signed lines).
std::optional<uint32_t> find_in_lnotab(std::string_view table, uint32_t first_line,
                                       uint64_t offset) {
  int64_t line = first_line;
  uint64_t address = 0;
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    address += byte_at(table, i);
    if (address > offset) break;
    line += static_cast<int8_t>(table[i + 1]);
  }
  return positive(line);
}

// 3.10: pairs of (bytes of code, signed lines), the lines belonging to the bytes; -128: no line.
std::optional<uint32_t> find_in_linetable(std::string_view table, uint32_t first_line,
                                          uint64_t offset) {
  int64_t line = first_line;
  uint64_t end = 0;
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    auto delta = static_cast<int8_t>(table[i + 1]);
    end += byte_at(table, i);
    if (delta != -128) line += delta;
    if (offset < end) return delta == -128 ? std::nullopt : positive(line);
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

// 3.11 and newer: entries of one head byte (bit 7 set; 4 bits of kind, 3 of length) and what its
// kind needs; the length is in code units.
std::optional<uint32_t> find_in_locations(std::string_view table, uint32_t first_line,
                                          uint64_t offset) {
  int64_t line = first_line;
  uint64_t end = 0;
  size_t at = 0;
  while (at < table.size()) {
    uint8_t head = byte_at(table, at);
    if (!(head & 0x80)) return std::nullopt;
    unsigned kind = head >> 3 & 15;
    end += ((head & 7) + 1) * kCodeUnit;
    bool has_line = kind != 15;
    if (kind >= 10 && kind <= 12) {
      line += kind - 10;
    } else if (kind == 13 || kind == 14) {
      int64_t delta = 0;
      if (!Varints(table, at + 1).next_signed(delta)) return std::nullopt;
      line += delta;
    }
    if (offset < end) return has_line ? positive(line) : std::nullopt;
    // The next entry begins at the next byte with bit 7 set.
    do at++;
    while (at < table.size() && !(byte_at(table, at) & 0x80));
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> find_line(int minor, std::string_view table, uint32_t first_line,
                                  uint64_t offset) {
  if (minor <= 9) return find_in_lnotab(table, first_line, offset);
  if (minor == 10) return find_in_linetable(table, first_line, offset);
  return find_in_locations(table, first_line, offset);
}

}  // namespace loopsight
