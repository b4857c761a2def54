#include "daemon/python/thread_states.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "bpf/code_identity.h"
#include "daemon/python/process_memory.h"

namespace loopsight {
namespace {

constexpr size_t kMaxInterpreters = 16;

// Several words of a thread state in one read, where they lie close enough.
std::optional<ThreadState> read_thread_state(const RemoteMemory& memory, const ls_python& python,
                                             uint64_t address, uint64_t& next) {
  std::array<unsigned char, 512> head{};
  size_t size = std::max({python.thread_next, python.thread_id, python.thread_frame}) + size_t{8};
  if (size > head.size() || !memory.read(address, head.data(), size)) return std::nullopt;
  auto word = [&](uint16_t offset) {
    uint64_t value;
    std::memcpy(&value, head.data() + offset, sizeof(value));
    return value;
  };
  next = word(python.thread_next);
  ThreadState state{
      .address = address, .thread_id = word(python.thread_id), .frame = word(python.thread_frame)};
  if (state.frame != 0 && python.cframe_frame != LS_NO_OFFSET)
    state.frame = memory.word(state.frame + python.cframe_frame);
  return state;
}

// Each thread of a free-threaded interpreter runs a copy of the instructions: where `instruction`
// is in the original.
uint64_t in_original(const RemoteMemory& memory, const ls_python& python, uint64_t code,
                     uint64_t number, uint64_t instruction) {
  if (python.code_thread_bytecode == LS_NO_OFFSET) return instruction;
  uint64_t copies = memory.word(code + python.code_thread_bytecode);
  uint64_t copy =
      copies != 0 ? memory.word(copies + 8 + 8 * uint64_t{static_cast<uint32_t>(number)}) : 0;
  return copy != 0 ? instruction + code + python.code_adaptive - copy : instruction;
}

}  // namespace

std::vector<ThreadState> read_thread_states(const RemoteMemory& memory, const ls_python& python,
                                            size_t most) {
  std::vector<ThreadState> states;
  uint64_t interpreter = memory.word(python.runtime + python.interpreters_head);
  for (size_t i = 0; i < kMaxInterpreters && interpreter != 0; i++) {
    uint64_t address = memory.word(interpreter + python.interpreter_threads);
    while (address != 0 && states.size() < most) {
      auto state = read_thread_state(memory, python, address, address);
      if (!state) break;
      states.push_back(*state);
    }
    interpreter = memory.word(interpreter + python.interpreter_next);
  }
  return states;
}

uint64_t read_frame_of(const RemoteMemory& memory, const ls_python& python, uint64_t address) {
  uint64_t next = 0;
  auto state = read_thread_state(memory, python, address, next);
  return state ? state->frame : 0;
}

std::optional<PythonFrame> read_frame(const RemoteMemory& memory, const ls_python& python,
                                      uint64_t address) {
  for (size_t shim = 0; shim <= LS_MAX_SHIMS; shim++) {
    if (address == 0) return PythonFrame{};
    // Room for what ls_field reads of any offset.
    std::array<unsigned char, 2 * size_t{LS_HEAD_BYTES}> head{};
    if (!memory.read(address, head.data(), std::min<size_t>(python.frame_size, LS_HEAD_BYTES)))
      return std::nullopt;
    uint64_t previous = ls_field(head.data(), python.frame_previous);
    // Owners from 3 on are the entries of C calls (CPython 3.12 and newer).
    if (python.frame_owner != LS_NO_OFFSET && head[python.frame_owner & (LS_HEAD_BYTES - 1)] >= 3) {
      address = previous;
      continue;
    }
    // From 3.13 on the low bits are a tag.
    uint64_t code = ls_field(head.data(), python.frame_code) & ~uint64_t{7};
    uint64_t instruction = ls_field(head.data(), python.frame_instruction);
    uint64_t number = python.frame_thread_bytecode != LS_NO_OFFSET
                          ? ls_field(head.data(), python.frame_thread_bytecode)
                          : 0;
    uint32_t identity = read_code_identity(memory, python, code);
    if (identity == 0) return std::nullopt;
    instruction = in_original(memory, python, code, number, instruction);
    if (python.minor >= 11) instruction -= code;
    return PythonFrame{
        .address = address,
        .previous = previous,
        .frame = {.code = code,
                  .offset = static_cast<__u32>(std::min<uint64_t>(instruction, UINT32_MAX)),
                  .identity = identity}};
  }
  return std::nullopt;
}

FrameWalk walk_frames(const RemoteMemory& memory, const ls_python& python, uint64_t innermost,
                      size_t most) {
  FrameWalk walk;
  uint64_t address = innermost;
  while (walk.frames.size() < most) {
    auto frame = read_frame(memory, python, address);
    if (!frame) break;
    if (frame->address == 0) {
      walk.complete = true;
      break;
    }
    walk.frames.push_back(*frame);
    address = frame->previous;
  }
  return walk;
}

ls_stack to_stack(const FrameWalk& walk) {
  ls_stack stack{};
  size_t all = walk.frames.size();
  stack.count = static_cast<__u32>(std::min<size_t>(all, LS_MAX_FRAMES));
  stack.end = walk.complete ? LS_STACK_COMPLETE : LS_STACK_TORN;
  size_t left_out = all - stack.count;
  if (left_out > 0) {
    stack.end = LS_STACK_CUT;
    stack.left_out = static_cast<__u16>(left_out);
  }
  for (size_t i = 0; i < stack.count; i++)
    stack.frames[i] = walk.frames[i < LS_INNER_FRAMES ? i : i + left_out].frame;
  return stack;
}

std::optional<bool> stands_below(const ls_stack& now, const ls_stack& then, size_t outer) {
  if (now.end != LS_STACK_COMPLETE || then.end != LS_STACK_COMPLETE || outer >= then.count)
    return std::nullopt;
  size_t below = then.count - outer;
  if (now.count < below) return false;
  return std::equal(then.frames + outer, then.frames + then.count, now.frames + (now.count - below),
                    [](const ls_frame& a, const ls_frame& b) {
                      return a.code == b.code && a.offset == b.offset;
                    });
}

FrameWalk walk_moving_frames(const RemoteMemory& memory, const ls_python& python,
                             const ThreadState& state) {
  constexpr int kMostTries = 30;
  FrameWalk walk;
  uint64_t frame = state.frame;
  for (int i = 0; i < kMostTries && frame != 0; i++) {
    walk = walk_frames(memory, python, frame, LS_DEEPEST);
    if (walk.complete || walk.frames.size() >= LS_DEEPEST) break;
    frame = read_frame_of(memory, python, state.address);
  }
  return walk;
}

}  // namespace loopsight
