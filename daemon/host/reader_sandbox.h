// What the reader of source files gives up: see source_server.h.
#pragma once

#include "daemon/base/result.h"
#include "daemon/host/source_protocol.h"

namespace loopsight {

// For the process that reads for everybody, and what it forks: no capability but SETUID, SETGID and
// DAC_READ_SEARCH, of these what we have; no way to more; nothing is written anywhere (Landlock,
// where the kernel has it); few system calls; little memory. Errors: what the kernel refuses.
Result<void> enter_reader_sandbox();

// For the process that reads one file: it is that user from now on, with no capability but
// DAC_READ_SEARCH, and that only where `reads_all` says so. False: it is not, and must not read.
bool become(const FileUser& user);

}  // namespace loopsight
