// Fields of JSON that somebody else wrote: what is absent or of another type is nothing.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace loopsight {

constexpr double kMaxJsonNumber = 1e15;

// A reference to null where there is none.
const nlohmann::ordered_json& json_member(const nlohmann::ordered_json& json, const char* key);

// Cleaned; "" for what is no string.
std::string json_text(const nlohmann::ordered_json& json, const char* key, size_t max_bytes);

// From 0 to `max`; nothing for anything else.
std::optional<double> json_number(const nlohmann::ordered_json& json, const char* key,
                                  double max = kMaxJsonNumber);

}  // namespace loopsight
