// What the threads of a process do now, as `loopsight dump` prints it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/attribute/thread_report.h"
#include "daemon/sink/sink.h"

namespace loopsight {

// Loops that are busy first; threads that do the same stand together.
std::string dump_text(const ProcessReport& report, const WallClock& clock, bool color);

// One object a process; a key is always there, null where it is not known.
nlohmann::ordered_json dump_json(const ProcessReport& report, const WallClock& clock,
                                 const std::string& host);

}  // namespace loopsight
