// The name of a function by which an event loop runs, as users write it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace loopsight {

struct RunMethodName {
  std::string module;    // "mylib.engine"
  std::string function;  // "Engine.turn"
};

// Of "mylib.engine:Engine.turn"; nothing of a text that is not of this form.
std::optional<RunMethodName> parse_run_method(std::string_view text);

// Those of `texts` that are of this form.
std::vector<RunMethodName> parse_run_methods(const std::vector<std::string>& texts);

}  // namespace loopsight
