// `loopsight run`: the daemon.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/command/commands.h"
#include "daemon/command/exports.h"
#include "daemon/command/log.h"
#include "daemon/command/settings.h"
#include "daemon/command/supervisor.h"
#include "daemon/host/source_reader.h"
#include "daemon/live/live.h"
#include "daemon/live/live_source.h"
#include "daemon/probe/privileges.h"
#include "daemon/profile/profile_window.h"
#include "daemon/sink/metrics.h"
#include "daemon/sink/publication.h"
#include "daemon/version.h"
#include "daemon/web/api.h"
#include "daemon/web/endpoints.h"
#include "daemon/web/http_server.h"
#include "daemon/web/listener.h"
#include "daemon/web/page.h"
#include "daemon/web/profile.h"

namespace loopsight {
namespace {

// The settings in force, and everything that follows them.
class Daemon {
 public:
  Daemon(const RunConfig& config, Configuration settings, Publication& publication,
         Exports& exports, Pipeline& pipeline, LiveSource& source)
      : config_(config),
        settings_(std::move(settings)),
        publication_(publication),
        exports_(exports),
        pipeline_(pipeline),
        source_(source) {}

  Result<void> follow_settings(uint64_t now_ns) {
    read_time_ = std::time(nullptr);
    set_log(settings_.log);
    publication_.set_ring_size(settings_.stalls_kept);
    pipeline_.set_limits(
        {.workloads = settings_.labels.workloads, .culprits = settings_.labels.culprits});
    CodeNames code{.all = settings_.code, .loops = settings_.loops};
    for (const WorkloadRule& rule : settings_.workloads)
      code.of_workloads.push_back({.name = rule.name, .match = rule.match, .code = rule.code});
    pipeline_.set_code_names(std::move(code));
    return source_.set_rules(settings_, now_ns);
  }

  // A file that is wrong changes nothing.
  Result<void> reload() {
    supervisor_.reloading(monotonic_now_ns());
    exports_.reopen();
    auto settings = read_settings(config_);
    is_current_ = settings.has_value();
    Result<void> followed;
    if (settings) {
      if (auto keys = needs_restart(settings_, *settings); !keys.empty())
        spdlog::warn("the new configuration is in force, but for what a restart needs: {}", keys);
      settings_ = *std::move(settings);
      followed = follow_settings(monotonic_now_ns());
      spdlog::info("the configuration was read again");
    } else {
      spdlog::error("the configuration stays as it was: {}", settings.error().message);
    }
    publish();
    supervisor_.ready(status());
    return followed;
  }

  void publish() {
    Snapshot snapshot = source_.snapshot();
    for (auto& failures : exports_.failures()) snapshot.discarded.push_back(std::move(failures));
    if (refusals_) snapshot.refused = refusals_->counts();
    snapshot.config_is_current = is_current_;
    snapshot.config_read_seconds = static_cast<double>(read_time_);
    publication_.publish(std::move(snapshot));
  }

  std::string status() const {
    const Totals& totals = pipeline_.totals();
    uint64_t stalls = 0;
    for (const auto& [name, workload] : totals.workloads())
      for (uint64_t count : workload.stalls) stalls += count;
    return fmt::format("{} loops, {} stalls{}", totals.loops(), stalls,
                       is_current_ ? "" : "; the configuration file has an error");
  }

  Supervisor& supervisor() { return supervisor_; }
  void serve(const Refusals& refusals) { refusals_ = &refusals; }

 private:
  const RunConfig& config_;
  Configuration settings_;
  Publication& publication_;
  Exports& exports_;
  Pipeline& pipeline_;
  LiveSource& source_;
  const Refusals* refusals_ = nullptr;  // of the HTTP side, once there is one
  Supervisor supervisor_;
  bool is_current_ = true;
  std::time_t read_time_ = 0;
};

Result<int> check_settings(const RunConfig& config) {
  if (auto settings = read_settings(config); !settings)
    return tl::make_unexpected(settings.error());
  std::string path = configuration_path(config);
  fmt::print("{}\n", path.empty() ? fmt::format("there is no {}: the defaults are in force",
                                                kConfigurationPath)
                                  : fmt::format("{} is right", clean_text(path, 300)));
  return 0;
}

TableSizes table_sizes(const TableOptions& tables) {
  return {.loops = static_cast<uint32_t>(tables.loops),
          .processes = static_cast<uint32_t>(tables.processes),
          .ring_bytes = static_cast<uint32_t>(std::min<uint64_t>(tables.buffer_bytes, 1U << 30))};
}

Result<std::unique_ptr<HttpServer>> serve(const Configuration& settings, Fd listener,
                                          Routes routes) {
  return HttpServer::start({.address = settings.listen_address,
                            .listener = std::move(listener),
                            .config_file = settings.web_config_file,
                            .names = HostNames(host_name(), settings.allowed_hosts),
                            .open_health = settings.open_health},
                           std::move(routes));
}

}  // namespace

Result<int> run(const RunConfig& config) {
  if (config.check_config) return check_settings(config);
  auto settings = read_settings(config);
  if (!settings) return tl::make_unexpected(settings.error());
  auto signals = open_signals();
  if (!signals) return tl::make_unexpected(signals.error());
  auto socket = take_socket();
  if (!socket) return tl::make_unexpected(socket.error());
  bool handed_over{*socket};
  // The port first: where it is taken nothing needs to be undone.
  auto listener = handed_over ? LocalListener{*std::move(socket), {}}
                              : open_listener(settings->listen_address, settings->socket_group);
  if (!listener) return tl::make_unexpected(listener.error());
  auto reader = SourceReader::start();
  if (!reader) return tl::make_unexpected(reader.error());
  Publication publication(WallClock::live(), host_name(), {.stalls = settings->stalls_kept});
  Metrics metrics(publication, kVersion);
  auto tracer = Tracer::open({.threshold_ns = settings->threshold_ns,
                              .listed_only = false,
                              .exact_delays = config.exact_delays,
                              .tables = table_sizes(settings->tables),
                              .charge_records = true,
                              .measure_cost = config.measure_cost});
  if (!tracer) return tl::make_unexpected(tracer.error());
  auto exports = Exports::open(settings->exports);
  if (!exports) return tl::make_unexpected(exports.error());
  ProfileWindow window(WallClock::live());
  std::vector<Sink*> sinks = exports->sinks();
  sinks.push_back(&publication);
  sinks.push_back(&window);
  Pipeline pipeline(settings->threshold_ns, std::move(sinks));
  LiveSource source(*tracer, pipeline, nullptr, settings->probes);
  source.read_sources_by(*reader);
  Daemon daemon(config, *settings, publication, *exports, pipeline, source);
  if (auto followed = daemon.follow_settings(monotonic_now_ns()); !followed)
    return tl::make_unexpected(followed.error());
  if (auto attached = tracer->attach(); !attached) return tl::make_unexpected(attached.error());
  for (const ProbeStatus& probe : tracer->probes())
    if (!probe.attached) spdlog::warn("probe {} is not attached: {}", probe.name, probe.why_not);
  if (auto dropped = drop_privileges(); !dropped) return tl::make_unexpected(dropped.error());
  if (auto scanned = source.scan(); !scanned) return tl::make_unexpected(scanned.error());
  daemon.publish();
  // Its thread begins without what was given up; until here its clients wait.
  Routes routes;
  add_endpoints(routes, publication, metrics);
  add_api(routes, publication, kVersion);
  add_page(routes);
  add_profile(routes, window);
  auto server = serve(*settings, std::move(listener->socket), std::move(routes));
  if (!server) return tl::make_unexpected(server.error());
  spdlog::info("watching, serving {} on {}{}", (*server)->tls() ? "https" : "http",
               handed_over ? "the socket of systemd" : settings->listen_address,
               (*server)->port() ? fmt::format(" (port {})", (*server)->port()) : "");
  daemon.serve((*server)->refusals());
  daemon.supervisor().ready(daemon.status());
  auto status = run_live(source, *signals, tracer->poll_fd(),
                         {.duration_ns = std::nullopt,
                          .child = nullptr,
                          .pids = {},
                          .every_second =
                              [&] {
                                daemon.publish();
                                daemon.supervisor().alive(daemon.status());
                              },
                          .on_reload = [&] { return daemon.reload(); }});
  daemon.supervisor().stopping();
  spdlog::info("stopping");
  return status;
}

}  // namespace loopsight
