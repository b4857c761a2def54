#include "daemon/python/outside_stack.h"

#include "daemon/python/thread_states.h"

namespace loopsight {

std::optional<OutsideStack> read_outside_stack(const RemoteMemory& memory, const ls_python& python,
                                               uint64_t thread_pointer) {
  auto states = read_thread_states(memory, python, LS_MOST_THREADS);
  if (states.empty() || memory.is_used_up()) return std::nullopt;
  OutsideStack found;
  for (const ThreadState& state : states) {
    if (state.thread_id != thread_pointer) continue;
    found.has_state = true;
    if (state.frame == 0) continue;  // of several interpreters another one is at work
    found.stack = to_stack(walk_frames(memory, python, state.frame, LS_DEEPEST));
    break;
  }
  return found;
}

}  // namespace loopsight
