#include "daemon/python/code_objects.h"

#include <algorithm>
#include <cstring>

#include "daemon/base/text.h"
#include "daemon/python/line_table.h"
#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

constexpr size_t kMaxName = 256;

void append_utf8(std::string& text, uint32_t point) {
  auto byte = [&](uint32_t value) { text += static_cast<char>(value); };
  if (point < 0x80) {
    byte(point);
  } else if (point < 0x800) {
    byte(0xC0 | point >> 6);
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    byte(0xE0 | point >> 12);
    byte(0x80 | (point >> 6 & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x110000) {
    byte(0xF0 | point >> 18);
    byte(0x80 | (point >> 12 & 0x3F));
    byte(0x80 | (point >> 6 & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else {
    text += '?';
  }
}

}  // namespace

std::string decode_text(uint32_t state, uint32_t length, std::span<const unsigned char> bytes) {
  // Bits 2 to 4 of the state word are the bytes of a character.
  size_t kind = state >> 2 & 7;
  if (kind != 1 && kind != 2 && kind != 4) return "";
  size_t count = std::min<size_t>(length, bytes.size() / kind);
  std::string utf8;
  for (size_t i = 0; i < count; i++) {
    uint32_t point = 0;
    std::memcpy(&point, bytes.data() + i * kind, kind);
    append_utf8(utf8, point);
  }
  if (count < length) utf8 += "\xE2\x80\xA6";
  return clean_text(utf8, kMaxName);
}

void CodeObjects::on_code(const ls_code& record, const Owner& owner) {
  Key key{record.header.tgid, record.code, record.identity};
  size_t size = std::min<size_t>(record.lines_size, sizeof(record.lines));
  Code code{
      .function = decode_text(record.name.state, record.name.length, record.name.bytes),
      .filename = decode_text(record.filename.state, record.filename.length, record.filename.bytes),
      .adaptive = record.adaptive,
      .first_line = record.first_line,
      .lines = std::string(reinterpret_cast<const char*>(record.lines), size)};
  if (code.function.empty() || code.filename.empty()) return;
  constexpr size_t kOverhead = 400;  // of an entry, whatever its text
  size_t bytes = code.function.size() + code.filename.size() + code.lines.size() + kOverhead;
  codes_[key] = std::move(code);
  for (const Key& gone : shares_.add(key, owner, bytes, record.header.tgid)) codes_.erase(gone);
}

void CodeObjects::on_exit(uint32_t tgid) {
  auto first = codes_.lower_bound({tgid, 0, 0});
  auto last = codes_.upper_bound({tgid, UINT64_MAX, UINT32_MAX});
  for (auto code = first; code != last; ++code) shares_.remove(code->first);
  codes_.erase(first, last);
}

std::vector<Frame> CodeObjects::resolve(uint32_t tgid, int minor, const ls_stack& stack) const {
  std::vector<Frame> frames;
  uint32_t count = std::min<uint32_t>(stack.count, LS_MAX_FRAMES);
  for (uint32_t i = 0; i < count; i++) {
    const ls_frame& frame = stack.frames[i];
    auto found = codes_.find({tgid, frame.code, frame.identity});
    if (found == codes_.end()) {
      frames.push_back({.function = kUnreadable});
      continue;
    }
    const Code& code = found->second;
    // An index of bytes to 3.9, of code units in 3.10, from the code object's start from 3.11 on.
    uint64_t offset = minor <= 9    ? frame.offset
                      : minor == 10 ? uint64_t{frame.offset} * 2
                                    : uint64_t{frame.offset} - code.adaptive;
    auto position = find_position(minor, code.lines, code.first_line, offset)
                        .value_or(SourcePosition{.line = code.first_line});
    frames.push_back({.function = code.function,
                      .module = module_name(code.filename),
                      .file = code.filename,
                      .line = position.line,
                      .end_line = position.end_line,
                      .column = position.column,
                      .end_column = position.end_column});
  }
  bool damaged = stack.end == LS_STACK_TORN || stack.end == LS_STACK_UNMAPPED;
  if (damaged && !frames.empty()) frames.push_back({.function = kUnreadable});
  return frames;
}

}  // namespace loopsight
