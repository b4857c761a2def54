// Where asyncio keeps which task runs on which loop.
#pragma once

#include <cstdint>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

// The address of asyncio's dict of running tasks by loop, from 3.8 to 3.13; 0 where it is not
// found. It is the global variable _current_tasks of asyncio.tasks, which the modules of asyncio
// that stand on the stack of a loop's thread import as `tasks`. `thread_pointer` is that thread's.
uint64_t find_current_tasks(const RemoteMemory& memory, const ls_python& python,
                            uint64_t thread_pointer);

}  // namespace loopsight
