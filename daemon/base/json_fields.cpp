#include "daemon/base/json_fields.h"

#include "daemon/base/text.h"

namespace loopsight {

using Json = nlohmann::ordered_json;

bool is_nested_deeply(std::string_view json) {
  size_t depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < json.size(); i++) {
    char c = json[i];
    if (in_text && c == '\\')
      i++;
    else if (c == '"')
      in_text = !in_text;
    else if (!in_text && (c == '[' || c == '{') && ++depth > kMaxJsonDepth)
      return true;
    else if (!in_text && (c == ']' || c == '}') && depth > 0)
      depth--;
  }
  return false;
}

const Json& json_member(const Json& json, const char* key) {
  static const Json kNull;
  if (!json.is_object()) return kNull;
  auto found = json.find(key);
  return found == json.end() ? kNull : *found;
}

std::string json_text(const Json& json, const char* key, size_t max_bytes) {
  const Json& value = json_member(json, key);
  return value.is_string() ? clean_text(value.get_ref<const std::string&>(), max_bytes) : "";
}

std::optional<double> json_number(const Json& json, const char* key, double max) {
  const Json& value = json_member(json, key);
  if (!value.is_number()) return std::nullopt;
  auto result = value.get<double>();
  if (!(result >= 0 && result <= max)) return std::nullopt;
  return result;
}

}  // namespace loopsight
