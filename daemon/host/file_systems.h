// Which file systems hold source files.
#pragma once

#include <cstdint>

namespace loopsight {

// Whether a file system of this type (statfs) keeps what somebody has written to it. A list of what
// is allowed, since the kernel gains a file system that shows itself or a process every few years,
// and what it lets whom see is its own affair (ptrace checks, capabilities of who opens): proc,
// sysfs, tracefs, debugfs, securityfs, cgroup, bpf, configfs, efivarfs, devpts, mqueue, pstore …
// Of an unlisted one that does hold files nothing is shown.
//
// FUSE is left out: any user may mount one, learns who reads it, and may never answer. NFS and the
// like are listed: who hangs is ended, see source_server.h.
bool holds_source_files(int64_t type);

}  // namespace loopsight
