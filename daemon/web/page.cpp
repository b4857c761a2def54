#include "daemon/web/page.h"

#include <array>
#include <string>
#include <utility>

#include "daemon/web/page_files.h"

namespace loopsight {
namespace {

// The page may use its own files and the API, nothing else; what it shows can be no markup.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

constexpr std::array kTypes = {std::pair{".html", "text/html; charset=utf-8"},
                               std::pair{".js", "text/javascript; charset=utf-8"},
                               std::pair{".css", "text/css; charset=utf-8"},
                               std::pair{".svg", "image/svg+xml"}};

std::string type_of(std::string_view name) {
  for (const auto& [end, type] : kTypes)
    if (name.ends_with(end)) return type;
  return kTextType;
}

}  // namespace

void add_page(Routes& routes) {
  for (const PageFile& file : page_files()) {
    bool is_page = file.name == "index.html";
    routes.add({.path = is_page ? "/" : "/page/" + std::string(file.name),
                .handler = [file](const HttpRequest&) -> HttpResponse {
                  return {.content_type = type_of(file.name),
                          .body = std::string(reinterpret_cast<const char*>(file.bytes), file.size),
                          .headers = {{"Content-Security-Policy", kPolicy}}};
                },
                .any_parameter = is_page});
  }
}

}  // namespace loopsight
