// Where a CPython keeps what a frame walk reads: a table for 3.8 to 3.12, the interpreter's own
// _Py_DebugOffsets from 3.13 on.
#pragma once

#include <optional>
#include <string>

#include "bpf/wire.h"
#include "daemon/base/result.h"

namespace loopsight {

// Offsets alone; the addresses `runtime` and `code_type` are left 0. `debug_offsets` is what the
// file holds at _PyRuntime, used from 3.13 on. Errors: an unknown minor version, debug offsets
// without their cookie or of another version, an offset that cannot be.
Result<ls_python> python_layout(int minor, const std::string& debug_offsets);

// Where asyncio keeps the running task and its name, from 3.14 on: `asyncio_debug` is the section
// .AsyncioDebug of its module's file. Offsets that cannot be leave the layout as it is.
void set_asyncio_offsets(ls_python& layout, const std::string& asyncio_debug);

// Bytes of _PyRuntime that python_layout wants to see.
constexpr size_t kDebugOffsetsBytes = 1024;

}  // namespace loopsight
