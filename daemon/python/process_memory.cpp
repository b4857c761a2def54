#include "daemon/python/process_memory.h"

#include <algorithm>
#include <array>

#include "bpf/code_identity.h"

namespace loopsight {
namespace {

bool read_text(const RemoteMemory& memory, const ls_python& python, uint64_t object,
               ls_text& text) {
  uint64_t length = memory.word(object + python.text_length);
  if (!memory.read(object + python.text_state, &text.state, sizeof(text.state))) return false;
  uint64_t kind = text.state >> 2 & 7;
  bool is_ascii = text.state >> 6 & 1;
  uint64_t size =
      std::min<uint64_t>(std::min<uint64_t>(length, LS_CODE_NAME_SIZE) * kind, LS_CODE_NAME_SIZE);
  text.length = static_cast<__u32>(std::min<uint64_t>(length, UINT32_MAX));
  return memory.read(object + (is_ascii ? python.text_ascii : python.text_other), text.bytes, size);
}

}  // namespace

uint32_t read_code_identity(const RemoteMemory& memory, const ls_python& python, uint64_t code) {
  std::array<unsigned char, LS_CODE_BUFFER> head{};
  if (!memory.read(code, head.data(), ls_code_head_bytes(&python))) return 0;
  return ls_code_identity(&python, head.data());
}

std::optional<ls_code> read_code_object(uint32_t tgid, const ls_python& python,
                                        const ls_frame& frame) {
  return read_code_object(RemoteMemory(tgid), tgid, python, frame);
}

std::optional<ls_code> read_code_object(const RemoteMemory& memory, uint32_t tgid,
                                        const ls_python& python, const ls_frame& frame) {
  if (read_code_identity(memory, python, frame.code) != frame.identity) return std::nullopt;
  ls_code record{};
  record.header = {
      .kind = LS_KIND_CODE, .size = sizeof(record), .time_ns = 0, .tgid = tgid, .tid = tgid};
  record.code = frame.code;
  record.identity = frame.identity;
  record.adaptive = python.code_adaptive;
  if (!memory.read(frame.code + python.code_first_line, &record.first_line,
                   sizeof(record.first_line)) ||
      !read_text(memory, python, memory.word(frame.code + python.code_filename), record.filename) ||
      !read_text(memory, python, memory.word(frame.code + python.code_name), record.name))
    return std::nullopt;
  uint64_t lines = memory.word(frame.code + python.code_lines);
  uint64_t size = memory.word(lines + python.bytes_size);
  record.lines_size = static_cast<__u32>(std::min<uint64_t>(size, UINT32_MAX));
  if (!memory.read(lines + python.bytes_data, record.lines,
                   std::min<uint64_t>(size, LS_CODE_LINES_SIZE)))
    record.lines_size = 0;
  return record;
}

}  // namespace loopsight
