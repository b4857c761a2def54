// What a stall kept waiting, from what the kernel side saw of its waiters.
#pragma once

#include "bpf/wire.h"
#include "daemon/correlate/stall.h"

namespace loopsight {

// `waiters` of a stall that has ended; end_ns is not before start_ns, and `seen` not above `ready`.
Delayed delayed_of(const ls_waiters& waiters);

}  // namespace loopsight
