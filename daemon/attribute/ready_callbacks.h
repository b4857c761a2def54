// How the callbacks of an iteration shared its busy phase, as far as the stacks tell.
//
// What makes it right: asyncio runs the callbacks of an iteration one after the other, so their
// number only grows. A callback in which the thread was met twice took at least the time between;
// one that was met once, or never, took at most the time between its neighbours.
#pragma once

#include <optional>
#include <vector>

#include "daemon/attribute/report.h"
#include "daemon/correlate/stall.h"

namespace loopsight {

// Nothing where it is not known how many callbacks there were.
std::optional<ReadyCallbacks> share_of_callbacks(const Stall& stall);

}  // namespace loopsight
