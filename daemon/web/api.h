// /api/v1: the loops and the newest stalls as JSON.
#pragma once

#include "daemon/sink/publication.h"
#include "daemon/web/route.h"

namespace loopsight {

// `publication` must outlive the routes.
void add_api(Routes& routes, const Publication& publication);

}  // namespace loopsight
