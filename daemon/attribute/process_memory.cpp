#include "daemon/attribute/process_memory.h"

#include <sys/types.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

#include "bpf/code_identity.h"

namespace loopsight {
namespace {

bool read_memory(uint32_t tgid, uint64_t address, void* buffer, size_t size) {
  iovec local{.iov_base = buffer, .iov_len = size};
  iovec remote{.iov_base = reinterpret_cast<void*>(address), .iov_len = size};  // NOLINT: theirs
  return process_vm_readv(static_cast<pid_t>(tgid), &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(size);
}

uint64_t read_word(uint32_t tgid, uint64_t address) {
  uint64_t word = 0;
  return read_memory(tgid, address, &word, sizeof(word)) ? word : 0;
}

bool read_text(uint32_t tgid, const ls_python& python, uint64_t object, ls_text& text) {
  uint64_t length = read_word(tgid, object + python.text_length);
  if (!read_memory(tgid, object + python.text_state, &text.state, sizeof(text.state))) return false;
  uint64_t kind = text.state >> 2 & 7;
  bool is_ascii = text.state >> 6 & 1;
  uint64_t size =
      std::min<uint64_t>(std::min<uint64_t>(length, LS_CODE_NAME_SIZE) * kind, LS_CODE_NAME_SIZE);
  text.length = static_cast<__u32>(std::min<uint64_t>(length, UINT32_MAX));
  return read_memory(tgid, object + (is_ascii ? python.text_ascii : python.text_other), text.bytes,
                     size);
}

}  // namespace

std::optional<ls_code> read_code_object(uint32_t tgid, const ls_python& python,
                                        const ls_frame& frame) {
  std::array<unsigned char, 2 * size_t{LS_HEAD_BYTES}> head{};
  if (!read_memory(tgid, frame.code, head.data(), LS_CODE_HEAD_BYTES) ||
      ls_code_identity(&python, head.data()) != frame.identity)
    return std::nullopt;
  ls_code record{};
  record.header = {
      .kind = LS_KIND_CODE, .size = sizeof(record), .time_ns = 0, .tgid = tgid, .tid = tgid};
  record.code = frame.code;
  record.identity = frame.identity;
  record.adaptive = python.code_adaptive;
  if (!read_memory(tgid, frame.code + python.code_first_line, &record.first_line,
                   sizeof(record.first_line)) ||
      !read_text(tgid, python, read_word(tgid, frame.code + python.code_filename),
                 record.filename) ||
      !read_text(tgid, python, read_word(tgid, frame.code + python.code_name), record.name))
    return std::nullopt;
  uint64_t lines = read_word(tgid, frame.code + python.code_lines);
  uint64_t size = read_word(tgid, lines + python.bytes_size);
  record.lines_size = static_cast<__u32>(std::min<uint64_t>(size, UINT32_MAX));
  if (!read_memory(tgid, lines + python.bytes_data, record.lines,
                   std::min<uint64_t>(size, LS_CODE_LINES_SIZE)))
    record.lines_size = 0;
  return record;
}

}  // namespace loopsight
