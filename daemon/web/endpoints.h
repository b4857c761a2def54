// /metrics and the two that say how the daemon is: /-/healthy, /-/ready.
#pragma once

#include "daemon/sink/metrics.h"
#include "daemon/sink/publication.h"
#include "daemon/web/route.h"

namespace loopsight {

// `publication` and `metrics` must outlive the routes.
void add_endpoints(Routes& routes, const Publication& publication, const Metrics& metrics);

}  // namespace loopsight
