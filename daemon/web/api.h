// /api/v1: what scripts and the page at / read, as JSON.
//
//   /api/v1/stalls?limit=&workload=&cause=   an array of the newest stalls, the newest first, each
//                                            the same object as a JSON line of `loopsight trace`
//                                            without what not everybody may read where nobody has
//                                            shown who he is
//   /api/v1/loops                            an array of the loops that are alive
//   /api/v1/congestions                      an array of the newest loops that were only busy
//   /api/v1/executors                        an array of the newest saturated thread pools
//   /api/v1/status                           an object: version, host, what is kept and lost
#pragma once

#include <string>

#include "daemon/sink/publication.h"
#include "daemon/web/route.h"

namespace loopsight {

// `publication` must outlive the routes.
void add_api(Routes& routes, const Publication& publication, const std::string& version);

}  // namespace loopsight
