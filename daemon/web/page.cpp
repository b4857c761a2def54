#include "daemon/web/page.h"

namespace loopsight {
namespace {

constexpr const char* kLanding =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>loopsight</title>"
    "</head>\n<body><h1>loopsight</h1>\n<p>Watches every CPython event loop of this host.</p>\n"
    "<ul>\n<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\n"
    "<li><a href=\"/api/v1/loops\">/api/v1/loops</a>: the loops and what they did</li>\n"
    "<li><a href=\"/api/v1/stalls\">/api/v1/stalls</a>: the newest stalls "
    "(?limit=, &amp;workload=, &amp;cause=)</li>\n"
    "<li><a href=\"/api/v1/executors\">/api/v1/executors</a>: saturated thread pools</li>\n"
    "<li><a href=\"/-/healthy\">/-/healthy</a>, <a href=\"/-/ready\">/-/ready</a></li>\n"
    "</ul></body></html>\n";

}  // namespace

void add_page(Routes& routes) {
  routes.add({.path = "/", .handler = [](const HttpRequest&) -> HttpResponse {
                return {.content_type = "text/html; charset=utf-8", .body = kLanding};
              }});
}

}  // namespace loopsight
