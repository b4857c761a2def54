// Which capabilities we have, and giving up those that are not needed.
#pragma once

#include "daemon/base/result.h"

namespace loopsight {

// True with the capabilities that loading and attaching BPF programs takes.
bool may_trace();
// Errors: without them; the message names what is missing.
Result<void> check_rights();

// Gives up, for good, every capability but those that the running daemon uses:
//   SYS_ADMIN            attaching uprobes later, and the kernel's statistics of BPF programs
//   BPF, PERFMON         reading our maps, sampling the threads of loops that come later
//   SYS_PTRACE           reading /proc and memory of other users' processes
//   DAC_READ_SEARCH      reading /proc/PID/fd and interpreters that only their owners may read
//   CHECKPOINT_RESTORE   opening interpreters that were deleted, by /proc/PID/map_files
//   KILL                 where `has_child`: passing signals on to the command, whoever it became
// None of them writes a file of another user's or becomes anybody. Errors: the kernel refuses; then
// nothing may be read of strangers.
Result<void> drop_privileges(bool has_child = false);

}  // namespace loopsight
