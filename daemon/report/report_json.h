// The same reports for programs.
#pragma once

#include <nlohmann/json.hpp>

#include "daemon/report/markdown.h"

namespace loopsight {

nlohmann::ordered_json report_json(const NamedTally& one);
nlohmann::ordered_json comparison_json(const NamedTally& before, const NamedTally& after);

}  // namespace loopsight
