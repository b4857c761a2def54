#include "daemon/attribute/python_layout.h"

#include <fmt/format.h>

#include <cstring>

namespace loopsight {
namespace {

constexpr uint16_t kNone = LS_NO_OFFSET;

// Read from the debug information of each minor version's builds; within 3.8 to 3.12 no patch
// release moved a member that is read here.
ls_python fixed_layout(int minor) {
  ls_python layout{};
  layout.minor = static_cast<uint32_t>(minor);
  layout.interpreters_head = minor <= 10 ? 32 : 40;
  layout.interpreter_next = 0;
  layout.interpreter_threads = minor <= 10 ? 8 : minor == 11 ? 16 : 72;
  layout.thread_next = 8;
  layout.thread_id = minor <= 10 ? 176 : minor == 11 ? 152 : 136;
  layout.thread_frame = minor <= 10 ? 24 : 56;
  layout.cframe_frame = minor <= 10 ? kNone : minor == 11 ? 8 : 0;
  layout.frame_previous = minor <= 10 ? 24 : minor == 11 ? 48 : 8;
  layout.frame_code = minor <= 11 ? 32 : 0;
  layout.frame_instruction = minor <= 9 ? 104 : minor == 10 ? 96 : 56;
  layout.frame_owner = minor == 12 ? 70 : kNone;
  layout.frame_size = minor <= 10 ? 112 : 72;
  layout.object_type = 8;
  layout.code_filename = minor <= 10 ? 104 : 112;
  layout.code_name = minor <= 10 ? 112 : 128;
  layout.code_first_line = minor <= 10 ? 40 : minor == 11 ? 72 : 68;
  layout.code_lines = minor <= 10 ? 120 : 136;
  layout.code_adaptive = minor <= 10 ? 0 : minor == 11 ? 184 : 192;
  layout.bytes_size = 16;
  layout.bytes_data = 32;
  layout.text_length = 16;
  layout.text_state = 32;
  layout.text_ascii = minor <= 11 ? 48 : 40;
  layout.text_other = minor <= 11 ? 72 : 56;
  layout.thread_interpreter = 16;
  layout.thread_native = minor <= 10 ? kNone : minor == 11 ? 160 : 144;
  layout.runtime_gil = minor == 8 ? 1152 : minor <= 10 ? 352 : 360;
  layout.interpreter_gil = minor == 12 ? 384 : kNone;
  return layout;
}

// Positions inside _Py_DebugOffsets (Include/internal/pycore_runtime.h, pycore_debug_offsets.h),
// whose own layout is another in each minor version.
struct DebugPositions {
  size_t interpreters_head, interpreter_next, interpreter_threads, thread_next, thread_frame,
      thread_id, frame_previous, frame_code, frame_instruction, frame_owner, code_filename,
      code_name, code_lines, code_first_line, code_adaptive, object_type, bytes_size, bytes_data,
      text_state, text_length, text_ascii, interpreter_gil, thread_interpreter, thread_native;
};

constexpr DebugPositions kPositions13 = {40,  64,  72,  168, 184, 192, 232, 240,
                                         248, 264, 280, 296, 304, 312, 344, 360,
                                         520, 528, 544, 552, 560, 112, 176, 200};
constexpr DebugPositions kPositions14 = {40,  64,  72,  192, 208, 216, 256, 264,
                                         272, 288, 320, 336, 344, 352, 384, 408,
                                         600, 608, 624, 632, 640, 120, 200, 224};
constexpr DebugPositions kPositions15 = {40,  64,  72,  192, 208, 240, 320, 328,
                                         336, 352, 384, 400, 408, 416, 448, 472,
                                         696, 704, 720, 728, 736, 120, 200, 248};

Result<ls_python> layout_from(int minor, const std::string& bytes, const DebugPositions& at) {
  bool damaged = false;
  auto read = [&](size_t position, uint64_t largest) {
    uint64_t value = UINT64_MAX;
    if (position + sizeof(value) <= bytes.size())
      std::memcpy(&value, bytes.data() + position, sizeof(value));
    if (value > largest) damaged = true;
    return static_cast<uint16_t>(value);
  };
  constexpr uint64_t kLargest = 0xFFFE;
  constexpr uint64_t kLargestInFrame = LS_FRAME_BYTES - 2 * sizeof(uint64_t);
  ls_python layout{};
  layout.minor = static_cast<uint32_t>(minor);
  layout.interpreters_head = read(at.interpreters_head, kLargest);
  layout.interpreter_next = read(at.interpreter_next, kLargest);
  layout.interpreter_threads = read(at.interpreter_threads, kLargest);
  layout.thread_next = read(at.thread_next, kLargest);
  layout.thread_id = read(at.thread_id, kLargest);
  layout.thread_frame = read(at.thread_frame, kLargest);
  layout.cframe_frame = kNone;
  layout.frame_previous = read(at.frame_previous, kLargestInFrame);
  layout.frame_code = read(at.frame_code, kLargestInFrame);
  layout.frame_instruction = read(at.frame_instruction, kLargestInFrame);
  layout.frame_owner = read(at.frame_owner, kLargestInFrame);
  layout.frame_size = 80;
  layout.object_type = read(at.object_type, kLargest);
  layout.code_filename = read(at.code_filename, kLargest);
  layout.code_name = read(at.code_name, kLargest);
  layout.code_first_line = read(at.code_first_line, kLargest);
  layout.code_lines = read(at.code_lines, kLargest);
  layout.code_adaptive = read(at.code_adaptive, kLargest);
  layout.bytes_size = read(at.bytes_size, kLargest);
  layout.bytes_data = read(at.bytes_data, kLargest);
  layout.text_length = read(at.text_length, kLargest);
  layout.text_state = read(at.text_state, kLargest);
  layout.text_ascii = read(at.text_ascii, kLargest - 16);
  // PyCompactUnicodeObject adds utf8_length and utf8 to PyASCIIObject.
  layout.text_other = static_cast<uint16_t>(layout.text_ascii + 16);
  layout.interpreter_gil = read(at.interpreter_gil, kLargest);
  layout.thread_interpreter = read(at.thread_interpreter, kLargest);
  layout.thread_native = read(at.thread_native, kLargest);
  if (damaged) return failure("its debug offsets are damaged");
  return layout;
}

}  // namespace

Result<ls_python> python_layout(int minor, const std::string& debug_offsets) {
  if (minor >= 8 && minor <= 12) return fixed_layout(minor);
  if (minor < 13 || minor > 15)
    return failure(fmt::format("the memory of CPython 3.{} is not known", minor));
  constexpr size_t kHeadBytes = 24;
  uint64_t version = 0;
  uint64_t free_threaded = 0;
  if (debug_offsets.size() < kHeadBytes || debug_offsets.compare(0, 8, "xdebugpy") != 0)
    return failure("it has no debug offsets");
  std::memcpy(&version, debug_offsets.data() + 8, sizeof(version));
  std::memcpy(&free_threaded, debug_offsets.data() + 16, sizeof(free_threaded));
  if ((version >> 16 & 0xFF) != static_cast<uint64_t>(minor) || version >> 24 != 3)
    return failure("its debug offsets are of another version");
  if (free_threaded != 0) return failure("free-threaded builds are not read yet");
  return layout_from(minor, debug_offsets,
                     minor == 13   ? kPositions13
                     : minor == 14 ? kPositions14
                                   : kPositions15);
}

}  // namespace loopsight
