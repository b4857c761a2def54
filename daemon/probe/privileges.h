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
//   DAC_READ_SEARCH      reading interpreters and sources through /proc/PID/root
//   SETUID, SETGID       reading a source file as the user of the process that runs it
Result<void> drop_privileges();

}  // namespace loopsight
