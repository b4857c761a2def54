#include "daemon/base/run_method_name.h"

namespace loopsight {

std::optional<RunMethodName> parse_run_method(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size())
    return std::nullopt;
  RunMethodName method{.module = std::string(text.substr(0, colon)),
                       .function = std::string(text.substr(colon + 1))};
  auto plain = [](std::string_view name) {
    return !name.starts_with('.') && !name.ends_with('.') &&
           name.find("..") == std::string_view::npos &&
           name.find_first_of(" /\\:\t\n") == std::string_view::npos;
  };
  if (!plain(method.module) || !plain(method.function)) return std::nullopt;
  return method;
}

std::vector<RunMethodName> parse_run_methods(const std::vector<std::string>& texts) {
  std::vector<RunMethodName> methods;
  for (const std::string& text : texts)
    if (auto method = parse_run_method(text)) methods.push_back(*std::move(method));
  return methods;
}

}  // namespace loopsight
