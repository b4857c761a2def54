// A YAML document as a tree that knows where each of its parts stands. The only place that knows
// yaml-cpp; its exceptions end here. Aliases and tags are refused, and so is what follows the
// document, which yaml-cpp would pass over in silence.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace loopsight {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;     // of a scalar
  bool quoted = false;  // a scalar that can be nothing but text
  size_t line = 1;
  size_t column = 1;
  std::vector<YamlNode> items;  // of a list; of a map the values
  std::vector<YamlNode> keys;   // of a map: scalars, as many as there are values
};

// "FILE:LINE:COLUMN: what"; the file's name is cleaned.
Error yaml_error(std::string_view file, size_t line, size_t column, std::string_view what);

// `file` is the name for messages. A text without content is kNull. Errors: more than 1 MiB, more
// than 20000 values, nested deeper than 16, a key twice, and whatever is not YAML.
Result<YamlNode> parse_yaml(std::string_view file, const std::string& text);

}  // namespace loopsight
