// What a user says of whose code something is: patterns that are looked for in a module's name and
// in the path of its file.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "daemon/base/pattern.h"

namespace loopsight {

struct CodePatterns {
  std::vector<Pattern> own;
  std::vector<Pattern> library;  // what both name is own

  static bool any(const std::vector<Pattern>& patterns, std::string_view module,
                  std::string_view file) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const Pattern& pattern) {
      return pattern.found_in(module) || pattern.found_in(file);
    });
  }
};

}  // namespace loopsight
