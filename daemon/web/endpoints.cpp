#include "daemon/web/endpoints.h"

namespace loopsight {
namespace {

constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

void add_endpoints(Routes& routes, const Publication& publication, const Metrics& metrics) {
  routes.add({.path = "/metrics",
              .handler = [&metrics](const HttpRequest&) -> HttpResponse {
                return {.content_type = kMetricsType, .body = metrics_page(metrics)};
              },
              .any_parameter = true});  // scrape configurations may add some
  routes.add({.path = "/-/healthy",
              .handler = [](const HttpRequest&) -> HttpResponse { return {.body = "healthy\n"}; },
              .is_health = true});
  routes.add({.path = "/-/ready",
              .handler = [&publication](const HttpRequest&) -> HttpResponse {
                if (publication.snapshot()->ready) return {.body = "ready\n"};
                return refusal(503, "not ready: probes are being attached");
              },
              .is_health = true});
}

}  // namespace loopsight
