// `loopsight run`: the daemon.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <utility>

#include "daemon/base/text.h"
#include "daemon/commands.h"
#include "daemon/live.h"
#include "daemon/live_source.h"
#include "daemon/sink/metrics.h"
#include "daemon/sink/publication.h"
#include "daemon/version.h"
#include "daemon/web/api.h"
#include "daemon/web/endpoints.h"
#include "daemon/web/http_server.h"
#include "daemon/web/page.h"

namespace loopsight {

Result<int> run(const RunConfig& config) {
  auto signals = open_signals();
  if (!signals) return tl::make_unexpected(signals.error());
  Publication publication(WallClock::live(), host_name());
  Metrics metrics(publication, kVersion);
  // The port first: where it is taken nothing needs to be undone.
  Routes routes;
  add_endpoints(routes, publication, metrics);
  add_api(routes, publication, kVersion);
  add_page(routes);
  auto server = HttpServer::start(
      {.address = config.listen_address, .config_file = config.web_config_file}, std::move(routes));
  if (!server) return tl::make_unexpected(server.error());
  auto tracer = Tracer::open({.threshold_ns = config.threshold_ns,
                              .listed_only = false,
                              .measure_cost = config.measure_cost});
  if (!tracer) return tl::make_unexpected(tracer.error());
  Pipeline pipeline(config.threshold_ns, {&publication});
  LiveSource source(*tracer, pipeline, nullptr, config.probes);
  if (auto attached = tracer->attach(); !attached) return tl::make_unexpected(attached.error());
  for (const ProbeStatus& probe : tracer->probes())
    if (!probe.attached) spdlog::warn("probe {} is not attached: {}", probe.name, probe.why_not);
  if (auto scanned = source.scan(); !scanned) return tl::make_unexpected(scanned.error());
  publication.publish(source.snapshot());
  spdlog::info("watching, serving {} on {} (port {})", (*server)->tls() ? "https" : "http",
               config.listen_address, (*server)->port());
  auto status =
      run_live(source, *signals, tracer->poll_fd(),
               {.duration_ns = std::nullopt, .child = nullptr, .pids = {}, .every_second = [&] {
                  publication.publish(source.snapshot());
                }});
  spdlog::info("stopping");
  return status;
}

}  // namespace loopsight
