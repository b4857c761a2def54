#include "daemon/web/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kShownBytes = 100;

std::string parameter_error(const Route& route, const HttpRequest& request) {
  if (route.any_parameter) return "";
  std::set<std::string> seen;
  for (const auto& [name, value] : request.query) {
    std::string shown = clean_text(name, kShownBytes);
    if (std::find(route.parameters.begin(), route.parameters.end(), name) == route.parameters.end())
      return route.parameters.empty()
                 ? fmt::format("unknown parameter '{}': {} takes none", shown, route.path)
                 : fmt::format("unknown parameter '{}': {} takes {}", shown, route.path,
                               fmt::join(route.parameters, ", "));
    if (!seen.insert(name).second) return fmt::format("parameter '{}' is given twice", shown);
  }
  return "";
}

}  // namespace

std::string HttpRequest::parameter(std::string_view name) const {
  for (const auto& [have, value] : query)
    if (have == name) return value;
  return "";
}

HttpResponse refusal(unsigned status, std::string text) {
  return {.status = status, .content_type = kTextType, .body = std::move(text) + "\n"};
}

void Routes::add(Route route) {
  std::string path = route.path;
  routes_.insert_or_assign(std::move(path), std::move(route));
}

bool Routes::is_health(std::string_view path) const {
  auto found = routes_.find(path);
  return found != routes_.end() && found->second.is_health;
}

HttpResponse Routes::respond(const HttpRequest& request) const {
  auto found = routes_.find(request.path);
  if (found == routes_.end()) return refusal(404, "not found; / says what is here");
  if (auto error = parameter_error(found->second, request); !error.empty())
    return refusal(400, error);
  return found->second.handler(request);
}

}  // namespace loopsight
