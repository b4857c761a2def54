#include "daemon/correlate/delayed.h"

#include <algorithm>

namespace loopsight {

Delayed delayed_of(const ls_waiters& waiters) {
  uint64_t duration = waiters.end_ns - waiters.start_ns;
  uint32_t unseen = waiters.ready - waiters.seen;
  // The poll call before the stall returned `ready_before` already; the rest is new.
  uint32_t fresh = waiters.ready > waiters.ready_before ? waiters.ready - waiters.ready_before : 0;
  Delayed delayed{.events_at_least = std::max(waiters.seen, fresh),
                  .events = waiters.ready,
                  .ns = waiters.wait_ns + unseen * duration,
                  .longest_ns = unseen > 0 ? duration : waiters.longest_ns,
                  .exact = unseen == 0};
  if (waiters.timer_due_ns != 0) delayed.timer_late_ns = waiters.timer_late_ns;
  return delayed;
}

}  // namespace loopsight
