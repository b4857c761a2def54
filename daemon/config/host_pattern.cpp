#include "daemon/config/host_pattern.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr size_t kMaxNameBytes = 253;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_label_byte(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

}  // namespace

bool is_host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kMaxNameBytes) return false;
  bool in_label = false;
  for (char c : text) {
    if (c == '.' ? !in_label : !is_label_byte(c)) return false;
    in_label = c != '.';
  }
  return in_label;
}

bool is_host_pattern(std::string_view text) {
  return is_host_name(text.starts_with("*.") ? text.substr(2) : text);
}

std::string plain_host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(), lower);
  return name;
}

}  // namespace loopsight
