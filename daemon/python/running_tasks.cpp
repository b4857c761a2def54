#include "daemon/python/running_tasks.h"

#include "daemon/python/python_objects.h"
#include "daemon/python/thread_states.h"

namespace loopsight {

uint64_t find_current_tasks(const RemoteMemory& memory, const ls_python& python,
                            uint64_t thread_pointer) {
  constexpr size_t kMostFrames = 24;
  if (python.minor >= 14) return 0;
  // f_globals of PyFrameObject, then of _PyInterpreterFrame.
  uint64_t globals_at = python.minor <= 10 ? 48 : python.minor == 11 ? 8 : 24;
  PythonObjects objects(memory, python);
  for (const ThreadState& state : read_thread_states(memory, python, LS_MOST_THREADS)) {
    if (state.thread_id != thread_pointer || state.frame == 0) continue;
    for (const PythonFrame& frame : walk_frames(memory, python, state.frame, kMostFrames).frames) {
      uint64_t globals = memory.word(frame.address + globals_at);
      if (objects.type_name(globals) != "dict") continue;
      uint64_t tasks = objects.item(globals, "tasks");
      if (tasks == 0 || objects.type_name(tasks) != "module") continue;
      uint64_t dict = memory.word(tasks + python.object_bytes);  // md_dict
      if (objects.type_name(dict) != "dict") continue;
      uint64_t current = objects.item(dict, "_current_tasks");
      if (current != 0 && objects.type_name(current) == "dict") return current;
    }
  }
  return 0;
}

}  // namespace loopsight
