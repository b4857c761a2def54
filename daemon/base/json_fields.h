// Fields of JSON that somebody else wrote: what is absent or of another type is nothing.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace loopsight {

constexpr double kMaxJsonNumber = 1e15;
constexpr size_t kMaxJsonDepth = 64;

// Whether brackets in it are nested deeper than kMaxJsonDepth: the library would take a hundred
// bytes for each level, and copies and prints such a value by recursion.
bool is_nested_deeply(std::string_view json);

// A value that is_discarded() where it is no JSON, or nested deeply.
template <typename Json = nlohmann::ordered_json>
Json parse_json(std::string_view text) {
  if (is_nested_deeply(text)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}
template <typename Json = nlohmann::ordered_json>
Json parse_json(std::span<const std::byte> bytes) {
  return parse_json<Json>(
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// A reference to null where there is none.
const nlohmann::ordered_json& json_member(const nlohmann::ordered_json& json, const char* key);

// Cleaned; "" for what is no string.
std::string json_text(const nlohmann::ordered_json& json, const char* key, size_t max_bytes);

// From 0 to `max`; nothing for anything else.
std::optional<double> json_number(const nlohmann::ordered_json& json, const char* key,
                                  double max = kMaxJsonNumber);

}  // namespace loopsight
