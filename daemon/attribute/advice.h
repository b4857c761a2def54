// What to use instead: one sentence for each stall, by the call that blocked where it is a
// well-known one, else by the cause.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "daemon/attribute/report.h"

namespace loopsight {

// One way to block a loop, and what to use instead. Lists are separated by '|'; an empty one says
// nothing. The first rule that fits a stall is its advice.
struct AdviceRule {
  std::string_view name;
  uint32_t causes;             // bits by enum ls_cause
  std::string_view modules;    // packages or modules of the plumbing that the user's code called
  std::string_view functions;  // of those frames, by their last name; empty: any
  std::string_view calls;      // as they stand in the expression, or the C function's name
  std::string_view text;
};

// In the order of precedence; the last ones, one for each cause, fit by the cause alone.
std::span<const AdviceRule> advice_rules();

// Those that no call tells, but the shape of the stall; they come first.
std::span<const AdviceRule> advice_shapes();

// Its text in the words of the stall's loop: trio's, gevent's, Twisted's … where it is one of
// those.
std::string advice_text(const AdviceRule& rule, const StallReport& report);

// The rule that fits a stall with its cause, frames, expression and callee.
const AdviceRule& find_advice(const StallReport& report);

}  // namespace loopsight
