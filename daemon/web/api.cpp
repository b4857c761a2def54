#include "daemon/web/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "daemon/base/text.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kDefaultStalls = 100;
constexpr size_t kMaxStalls = 10000;
constexpr size_t kMaxWorkloadBytes = 256;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json loop_json(const LoopLine& loop) {
  Json causes = Json::object();
  uint64_t busy = 0;
  for (size_t i = 0; i < LS_CAUSES; i++) {
    busy += loop.busy[i];
    if (loop.busy[i] > 0) causes[kCauseNames[i]] = seconds(loop.busy[i]);
  }
  return {{"workload", loop.process.workload},
          {"worker", loop.process.worker},
          {"pid", loop.pid},
          {"tid", loop.tid},
          {"comm", loop.process.comm},
          {"container", text_or_null(loop.process.container)},
          {"unit", text_or_null(loop.process.unit)},
          {"python", text_or_null(loop.process.python)},
          {"loop", name_of(loop.kind)},
          {"iterations", loop.iterations},
          {"stalls", loop.stalls},
          {"state", name_of(loop.condition)},
          {"utilisation", loop.utilisation ? Json(*loop.utilisation) : Json()},
          {"busy_seconds", seconds(busy)},
          {"idle_seconds", seconds(loop.idle_ns)},
          {"stalled_seconds", seconds(loop.stalled_ns)},
          {"threshold_seconds", seconds(loop.threshold_ns)},
          {"causes", std::move(causes)},
          {"workload_source", name_of(loop.process.source)}};
}

HttpResponse json_response(const Json& json) {
  return {.content_type = kJsonType, .body = to_line(json) + "\n"};
}

HttpResponse loops(const Publication& publication) {
  auto snapshot = publication.snapshot();
  Json found = Json::array();
  for (const LoopLine& loop : snapshot->loops) found.push_back(loop_json(loop));
  return json_response(found);
}

HttpResponse stalls(const Publication& publication, const HttpRequest& request) {
  size_t limit = kDefaultStalls;
  if (std::string text = request.parameter("limit"); !text.empty()) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (error != std::errc() || end != text.data() + text.size() || limit < 1 || limit > kMaxStalls)
      return refusal(400, fmt::format("limit must be a number from 1 to {}", kMaxStalls));
  }
  std::string workload = request.parameter("workload");
  if (workload.size() > kMaxWorkloadBytes)
    return refusal(400, fmt::format("workload is longer than {} bytes", kMaxWorkloadBytes));
  std::string cause = request.parameter("cause");
  if (!cause.empty() &&
      std::find(kCauseNames.begin(), kCauseNames.end(), cause) == kCauseNames.end())
    return refusal(400, fmt::format("no cause '{}'; there are {}", clean_text(cause, 100),
                                    fmt::join(kCauseNames, ", ")));
  std::string body = "[";
  auto audience = request.is_authenticated ? Audience::kOperator : Audience::kEverybody;
  for (const auto& stall : publication.stalls(limit, workload, cause, audience)) {
    if (body.size() > 1) body += ",\n";
    body += *stall;
  }
  body += "]\n";
  return {.content_type = kJsonType, .body = std::move(body)};
}

HttpResponse status(const Publication& publication, const std::string& version) {
  auto snapshot = publication.snapshot();
  uint64_t lost = 0;
  for (const auto& [reason, count] : snapshot->lost) lost += count;
  Json missing = Json::array();
  for (const auto& [probe, attached] : snapshot->probes)
    if (!attached) missing.push_back(probe);
  return json_response({{"version", version},
                        {"host", publication.host()},
                        {"ready", snapshot->ready},
                        {"threshold_seconds", seconds(snapshot->threshold_ns)},
                        {"loops", snapshot->loops.size()},
                        {"stalls_kept", publication.kept_stalls()},
                        {"reports", publication.reports()},
                        {"events_lost", lost},
                        {"probes_missing", std::move(missing)}});
}

}  // namespace

void add_api(Routes& routes, const Publication& publication, const std::string& version) {
  routes.add({.path = "/api/v1/loops",
              .handler = [&publication](const HttpRequest&) { return loops(publication); }});
  routes.add({.path = "/api/v1/stalls",
              .parameters = {"limit", "workload", "cause"},
              .handler = [&publication](const HttpRequest& request) {
                return stalls(publication, request);
              }});
  routes.add({.path = "/api/v1/congestions", .handler = [&publication](const HttpRequest&) {
                return json_response(Json(publication.congestions()));
              }});
  routes.add({.path = "/api/v1/executors", .handler = [&publication](const HttpRequest&) {
                return json_response(Json(publication.executors()));
              }});
  routes.add({.path = "/api/v1/status", .handler = [&publication, version](const HttpRequest&) {
                return status(publication, version);
              }});
}

}  // namespace loopsight
