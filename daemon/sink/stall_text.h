// A stall as text for a person.
#pragma once

#include <string>

#include "daemon/attribute/report.h"
#include "daemon/sink/sink.h"

namespace loopsight {

struct TextOptions {
  bool color = false;
  bool quiet = false;   // one line a stall, no summary
  bool frames = false;  // the whole stack of each stall
};

// "sleep 98 %, cpu 2 %": the causes with at least a hundredth of the whole, the largest first.
std::string shares(const CauseTimes& causes);

// One line where it is to be quiet, else a few.
std::string stall_text(const StallReport& report, const WallClock& clock,
                       const TextOptions& options);

}  // namespace loopsight
