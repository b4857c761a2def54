// /debug/pprof/loopstall: stalled time as a profile, for Parca, Pyroscope and `go tool pprof`. As
// with Go's own handlers, ?seconds=N waits N seconds and answers with the stalls that ended
// meanwhile; without it the answer comes at once and is of all stalls that are kept.
#pragma once

#include "daemon/profile/profile_window.h"
#include "daemon/web/route.h"

namespace loopsight {

// `window` must outlive the routes.
void add_profile(Routes& routes, const ProfileWindow& window);

// `now_ns` is CLOCK_MONOTONIC.
HttpResponse loopstall_profile(const ProfileWindow& window, const HttpRequest& request,
                               uint64_t now_ns);

}  // namespace loopsight
