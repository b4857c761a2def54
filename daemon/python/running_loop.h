// Loops whose run method is not among the frames of their thread: uvloop's, which has no frame, and
// those whose callback runs in a greenlet, which has a stack of its own. What tells of them is
// asyncio's own word, asyncio.get_running_loop(), and where a greenlet's stack begins.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/wire.h"
#include "daemon/event/event.h"
#include "daemon/host/proc.h"
#include "daemon/host/remote_memory.h"
#include "daemon/python/frame.h"

namespace loopsight {

// The name of its type ("Loop", "_UnixSelectorEventLoop"); "" where none runs, or where it cannot
// be told. `thread` is the address of a thread state. Not cleaned, at most 63 bytes.
std::string running_loop_type(const RemoteMemory& memory, const ls_python& python, uint64_t thread);

// Which of the libraries that hide a loop's run method a process has.
struct HidingLibraries {
  bool uvloop = false;
  bool gevent = false;
};
HidingLibraries find_hiding_libraries(const std::vector<Mapping>& mappings);

// Of a thread of whose frames find_running_loop() makes nothing.
struct HiddenLoop {
  LoopKind kind = LoopKind::kUnknown;
  bool in_greenlet = false;  // of which all of `frames` are
};
// `frames` up to the outermost; `loop_type` as above; `is_main`: it is the process's first thread,
// in which gevent's hub most often is, and no thread of native code that calls Python.
std::optional<HiddenLoop> find_hidden_loop(const std::vector<Frame>& frames,
                                           const std::string& loop_type, bool is_main,
                                           const HidingLibraries& libraries);

}  // namespace loopsight
