#include "daemon/python/python_layout.h"

#include <fmt/format.h>

#include <cstring>
#include <initializer_list>
#include <utility>

namespace loopsight {
namespace {

constexpr uint16_t kNone = LS_NO_OFFSET;

void set_bits(__u64 (&bits)[4], std::initializer_list<std::pair<unsigned, unsigned>> ranges) {
  for (auto [first, last] : ranges)
    for (unsigned bit = first; bit <= last; bit++) bits[bit / 64] |= __u64{1} << bit % 64;
}

// The opcodes of calls by what lies above the callable on the value stack; opcodes do not change
// within a minor version. From _opcode_metadata.py of CPython 3.14.8 and 3.15.0.
void set_calls(ls_python& layout) {
  if (layout.minor == 14) {
    set_bits(layout.calls, {{52, 52}, {143, 150}, {154, 165}, {250, 250}});
    set_bits(layout.keyword_calls, {{55, 55}, {151, 153}, {251, 251}});
    set_bits(layout.unpacking_calls, {{4, 4}, {252, 252}});
  } else if (layout.minor == 15) {
    set_bits(layout.calls, {{50, 50}, {144, 150}, {153, 153}, {157, 168}, {249, 249}});
    set_bits(layout.keyword_calls, {{53, 53}, {154, 156}, {250, 250}});
    set_bits(layout.unpacking_calls, {{4, 4}, {151, 152}, {251, 251}});
  }
}

// What follows from the version and the rest of the layout. Every object begins with as many bytes
// as come before the size of a bytes object.
void complete(ls_python& layout) {
  bool free_threaded = layout.flags & LS_PYTHON_FREE_THREADED;
  layout.object_bytes = layout.bytes_size;
  layout.gil_holder = free_threaded ? 16 : 8;
  layout.gil_enabled = free_threaded ? 0 : kNone;
  if (layout.minor >= 12) layout.flags |= LS_PYTHON_COMPACT_INT;
  if (layout.minor >= 14) layout.flags |= LS_PYTHON_TAGGED;
  // `ntodo` of BaseEventLoop._run_once (asyncio/base_events.py), followed by the loop's index.
  layout.ready_local = layout.minor <= 12 || layout.minor == 15 ? 8 : 7;
  // TaskObj.task_name (Modules/_asynciomodule.c). From 3.14 on asyncio says it itself.
  constexpr uint16_t kTaskNames[] = {120, 160, 168, 144, 144, 128};
  layout.task_name = layout.minor <= 13 ? kTaskNames[layout.minor - 8] : kNone;
  if (layout.minor == 13 && free_threaded) layout.task_name = 144;
  layout.thread_task = kNone;
  // PyThreadState.dict, where asyncio keeps the running loop up to 3.12.
  constexpr uint16_t kThreadDicts[] = {152, 152, 152, 128, 112};
  layout.thread_dict = layout.minor <= 12 ? kThreadDicts[layout.minor - 8] : kNone;
  if (layout.minor != 13) layout.thread_loop = kNone;
  // Not among the debug offsets; both are checked when they are used. From the debug information
  // of a 3.13.5 built with --disable-gil.
  bool known = free_threaded && layout.minor == 13;
  layout.thread_state_word = known ? 40 : kNone;
  layout.interpreter_requester = known ? 10760 : kNone;
  // PyGenObject: up to 3.10 the frame's address; then the frame itself behind 7 words, in 3.11 8.
  layout.generator_frame = static_cast<uint16_t>(layout.object_bytes + (layout.minor <= 10   ? 0
                                                                        : layout.minor == 11 ? 64
                                                                                             : 56));
  set_calls(layout);
}

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
  layout.runtime_collecting = minor == 8 ? 544 : kNone;
  layout.interpreter_collecting = minor <= 10 ? 816 : minor == 11 ? 848 : 312;
  layout.frame_locals = minor <= 9 ? 360 : minor == 10 ? 352 : 72;
  layout.frame_stack_pointer = kNone;
  layout.code_thread_bytecode = kNone;
  layout.frame_thread_bytecode = kNone;
  layout.type_name = 24;
  layout.tuple_items = 24;
  complete(layout);
  return layout;
}

// Positions inside _Py_DebugOffsets (Include/internal/pycore_runtime.h, pycore_debug_offsets.h),
// whose own layout is another in each minor version; 0: it has none.
struct DebugPositions {
  size_t interpreters_head, interpreter_next, interpreter_threads, interpreter_gc, interpreter_gil,
      thread_interpreter, thread_next, thread_frame, thread_id, thread_native, frame_previous,
      frame_code, frame_instruction, frame_locals, frame_owner, frame_stack_pointer,
      frame_thread_bytecode, code_filename, code_name, code_lines, code_first_line, code_adaptive,
      code_thread_bytecode, object_type, type_name, bytes_size, bytes_data, text_state, text_length,
      text_ascii, gc_collecting, tuple_items;
};

constexpr DebugPositions kPositions13 = {.interpreters_head = 40,
                                         .interpreter_next = 64,
                                         .interpreter_threads = 72,
                                         .interpreter_gc = 80,
                                         .interpreter_gil = 112,
                                         .thread_interpreter = 176,
                                         .thread_next = 168,
                                         .thread_frame = 184,
                                         .thread_id = 192,
                                         .thread_native = 200,
                                         .frame_previous = 232,
                                         .frame_code = 240,
                                         .frame_instruction = 248,
                                         .frame_locals = 256,
                                         .frame_owner = 264,
                                         .frame_stack_pointer = 0,
                                         .frame_thread_bytecode = 0,
                                         .code_filename = 280,
                                         .code_name = 296,
                                         .code_lines = 304,
                                         .code_first_line = 312,
                                         .code_adaptive = 344,
                                         .code_thread_bytecode = 0,
                                         .object_type = 360,
                                         .type_name = 376,
                                         .bytes_size = 520,
                                         .bytes_data = 528,
                                         .text_state = 544,
                                         .text_length = 552,
                                         .text_ascii = 560,
                                         .gc_collecting = 576,
                                         .tuple_items = 408};
constexpr DebugPositions kPositions14 = {.interpreters_head = 40,
                                         .interpreter_next = 64,
                                         .interpreter_threads = 72,
                                         .interpreter_gc = 88,
                                         .interpreter_gil = 120,
                                         .thread_interpreter = 200,
                                         .thread_next = 192,
                                         .thread_frame = 208,
                                         .thread_id = 216,
                                         .thread_native = 224,
                                         .frame_previous = 256,
                                         .frame_code = 264,
                                         .frame_instruction = 272,
                                         .frame_locals = 280,
                                         .frame_owner = 288,
                                         .frame_stack_pointer = 296,
                                         .frame_thread_bytecode = 304,
                                         .code_filename = 320,
                                         .code_name = 336,
                                         .code_lines = 344,
                                         .code_first_line = 352,
                                         .code_adaptive = 384,
                                         .code_thread_bytecode = 392,
                                         .object_type = 408,
                                         .type_name = 424,
                                         .bytes_size = 600,
                                         .bytes_data = 608,
                                         .text_state = 624,
                                         .text_length = 632,
                                         .text_ascii = 640,
                                         .gc_collecting = 656,
                                         .tuple_items = 456};
constexpr DebugPositions kPositions15 = {.interpreters_head = 40,
                                         .interpreter_next = 64,
                                         .interpreter_threads = 72,
                                         .interpreter_gc = 88,
                                         .interpreter_gil = 120,
                                         .thread_interpreter = 200,
                                         .thread_next = 192,
                                         .thread_frame = 208,
                                         .thread_id = 240,
                                         .thread_native = 248,
                                         .frame_previous = 320,
                                         .frame_code = 328,
                                         .frame_instruction = 336,
                                         .frame_locals = 344,
                                         .frame_owner = 352,
                                         .frame_stack_pointer = 360,
                                         .frame_thread_bytecode = 368,
                                         .code_filename = 384,
                                         .code_name = 400,
                                         .code_lines = 408,
                                         .code_first_line = 416,
                                         .code_adaptive = 448,
                                         .code_thread_bytecode = 456,
                                         .object_type = 472,
                                         .type_name = 488,
                                         .bytes_size = 696,
                                         .bytes_data = 704,
                                         .text_state = 720,
                                         .text_length = 728,
                                         .text_ascii = 736,
                                         .gc_collecting = 760,
                                         .tuple_items = 552};

constexpr size_t kThreadSize13 = 152;

Result<ls_python> layout_from(int minor, bool free_threaded, const std::string& bytes,
                              const DebugPositions& at) {
  bool damaged = false;
  auto read = [&](size_t position, uint64_t largest) {
    uint64_t value = UINT64_MAX;
    if (position + sizeof(value) <= bytes.size())
      std::memcpy(&value, bytes.data() + position, sizeof(value));
    if (value > largest) damaged = true;
    return static_cast<uint16_t>(value);
  };
  constexpr uint64_t kLargest = 0xFFFE;
  constexpr uint64_t kLargestInFrame = LS_HEAD_BYTES - 2 * sizeof(uint64_t);
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
  layout.frame_size = 96;
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
  layout.runtime_collecting = kNone;
  layout.interpreter_collecting =
      static_cast<uint16_t>(read(at.interpreter_gc, kLargest / 2) + read(at.gc_collecting, 4096));
  layout.frame_locals = read(at.frame_locals, kLargest);
  layout.frame_stack_pointer =
      at.frame_stack_pointer ? read(at.frame_stack_pointer, kLargest) : kNone;
  layout.type_name = read(at.type_name, kLargest);
  layout.tuple_items = read(at.tuple_items, kLargest);
  // asyncio_running_loop comes right after the PyThreadState in a _PyThreadStateImpl
  // (Include/internal/pycore_tstate.h); from 3.14 on asyncio says it itself.
  layout.thread_loop = minor == 13 ? read(kThreadSize13, kLargest) : kNone;
  if (free_threaded) layout.flags |= LS_PYTHON_FREE_THREADED;
  bool copies = free_threaded && at.code_thread_bytecode;
  layout.code_thread_bytecode = copies ? read(at.code_thread_bytecode, kLargest) : kNone;
  layout.frame_thread_bytecode = copies ? read(at.frame_thread_bytecode, kLargestInFrame) : kNone;
  if (damaged) return failure("its debug offsets are damaged");
  complete(layout);
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
  return layout_from(minor, free_threaded != 0, debug_offsets,
                     minor == 13   ? kPositions13
                     : minor == 14 ? kPositions14
                                   : kPositions15);
}

void set_asyncio_offsets(ls_python& layout, const std::string& asyncio_debug) {
  // Struct _Py_AsyncioModuleDebugOffsets: task_object has 7 words, interpreter_state 2 and
  // thread_state 4 (Modules/_asynciomodule.c).
  constexpr size_t kTaskName = 1;
  constexpr size_t kRunningLoop = 10;
  constexpr size_t kRunningTask = 11;
  auto word = [&](size_t index) {
    uint64_t value = UINT64_MAX;
    if ((index + 1) * sizeof(value) <= asyncio_debug.size())
      std::memcpy(&value, asyncio_debug.data() + index * sizeof(value), sizeof(value));
    return value;
  };
  constexpr uint64_t kLargest = 0xFFFE;
  if (layout.minor < 14 || word(kTaskName) > kLargest || word(kRunningTask) > kLargest) return;
  layout.task_name = static_cast<uint16_t>(word(kTaskName));
  layout.thread_task = static_cast<uint16_t>(word(kRunningTask));
  if (word(kRunningLoop) <= kLargest)
    layout.thread_loop = static_cast<uint16_t>(word(kRunningLoop));
}

}  // namespace loopsight
