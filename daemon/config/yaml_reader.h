// Typed reading of a YAML tree. Each function leaves `value` as it was where it fails, and its
// error says where, what was found, and what was expected.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/pattern.h"
#include "daemon/base/result.h"
#include "daemon/config/yaml_tree.h"

namespace loopsight {

class YamlReader {
 public:
  using Read = std::function<Result<void>(const YamlNode&)>;
  struct Key {
    const char* name;
    Read read;
  };

  explicit YamlReader(std::string file) : file_(std::move(file)) {}

  // Calls the function of each key that is there. No value at all is an empty map.
  Result<void> map(const YamlNode& node, const std::vector<Key>& keys) const;
  // Calls the function with each item. No value at all is an empty list.
  Result<void> list(const YamlNode& node, size_t most, const Read& read) const;

  Result<void> flag(const YamlNode& node, bool& value) const;
  Result<void> text(const YamlNode& node, std::string& value) const;
  Result<void> choice(const YamlNode& node, const std::vector<std::string>& choices,
                      std::string& value) const;
  Result<void> count(const YamlNode& node, size_t least, size_t most, size_t& value) const;
  Result<void> duration(const YamlNode& node, uint64_t& value_ns) const;
  Result<void> size(const YamlNode& node, uint64_t& value_bytes) const;
  Result<void> percent(const YamlNode& node, double& share) const;
  Result<void> pattern(const YamlNode& node, Pattern& value) const;

  tl::unexpected<Error> error(const YamlNode& node, std::string_view what) const;
  tl::unexpected<Error> expected(const YamlNode& node, std::string_view what) const;

 private:
  bool plain(const YamlNode& node) const;
  std::string file_;
};

}  // namespace loopsight
