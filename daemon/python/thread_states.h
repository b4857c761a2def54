// The threads of a CPython process and their frames, read from outside while they run. A frame may
// be gone by the time that it is read: it is believed only while its code object's type is
// PyCode_Type, and a walk that meets another ends there and says so.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

struct ThreadState {
  uint64_t address = 0;
  uint64_t thread_id = 0;  // as pthread_self gives it
  uint64_t frame = 0;      // the innermost, of Python or of a C call; 0 none
};

struct PythonFrame {
  uint64_t address = 0;
  uint64_t previous = 0;  // the frame that called it, 0 none
  ls_frame frame{};
};

struct FrameWalk {
  std::vector<PythonFrame> frames;  // the innermost first
  bool complete = false;            // up to the outermost
};

// Those of all interpreters of the process, the newest first; at most `most`.
std::vector<ThreadState> read_thread_states(const RemoteMemory& memory, const ls_python& python,
                                            size_t most);

// The innermost frame of the thread state at `address` now; 0 where it has none.
uint64_t read_frame_of(const RemoteMemory& memory, const ls_python& python, uint64_t address);

// The frame at `address`, or the first one outwards that is not the entry of a C call; one with
// address 0 where there is none. Nothing where what is there is no frame.
std::optional<PythonFrame> read_frame(const RemoteMemory& memory, const ls_python& python,
                                      uint64_t address);

FrameWalk walk_frames(const RemoteMemory& memory, const ls_python& python, uint64_t innermost,
                      size_t most);

// As CodeObjects resolves it: of more than LS_MAX_FRAMES both ends. A walk has at most LS_DEEPEST.
ls_stack to_stack(const FrameWalk& walk);

// Whether what stood in `then` from the frame `outer` on outwards still stands at the end of `now`,
// each frame at the same instruction; nothing where one of them is not whole.
std::optional<bool> stands_below(const ls_stack& now, const ls_stack& then, size_t outer);

// Of a thread that may run: it changes its innermost frames while they are read, and then they are
// read anew, a few times.
FrameWalk walk_moving_frames(const RemoteMemory& memory, const ls_python& python,
                             const ThreadState& state);

}  // namespace loopsight
