// The event loop of loopsight itself: records, ticks and signals on one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"
#include "daemon/live/child.h"
#include "daemon/live/live_source.h"

namespace loopsight {

// Blocks the signals that end or concern us and hands them over through a descriptor. Call it
// after a child was forked, which must not inherit the mask.
Result<Fd> open_signals();

struct LiveOptions {
  std::optional<uint64_t> duration_ns;
  Child* child = nullptr;              // ends with it; signals are passed on to it
  std::vector<uint32_t> pids;          // ends when all of them have ended; empty: never for this
  std::function<void()> every_second;  // may be empty
  // At SIGHUP, which asks for the end where this is empty.
  std::function<Result<void>()> on_reload = {};
};

// Runs until the child has ended, the duration is over, or a signal asks for the end. The result
// is the exit status to give. Errors: a sink that takes no more, a ring buffer that cannot be read.
Result<int> run_live(LiveSource& source, const Fd& signals, int ring_fd, LiveOptions options);

}  // namespace loopsight
