// The page at /.
#pragma once

#include "daemon/web/route.h"

namespace loopsight {

void add_page(Routes& routes);

}  // namespace loopsight
