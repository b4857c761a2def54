// The process that opens source files of strangers, apart from the daemon's own.
//
//   daemon  -- pids, memory, BPF maps; SYS_PTRACE; may become nobody
//     |  socket: request with two O_PATH directories, answer
//   keeper  -- does nothing but start the reader anew
//   reader  -- SETUID, SETGID, DAC_READ_SEARCH; no SYS_PTRACE; writes nothing; opens nothing itself
//   one child for each request  -- is the user of the stalled program, no capability; opens, reads,
//     answers and ends, by SIGALRM where the file system does not answer
//
// The daemon reaches a stranger's directories and passes them on; whoever opens files below them
// has that stranger's rights and can do nothing with what it is tricked into.
#pragma once

#include "daemon/base/fd.h"

namespace loopsight {

// Runs the keeper and never returns: it ends when the other end of `socket` is closed. To be called
// in a child that was forked while there was one thread.
[[noreturn]] void keep_source_server(Fd socket);

}  // namespace loopsight
