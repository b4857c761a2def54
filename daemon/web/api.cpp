#include "daemon/web/api.h"

#include <algorithm>
#include <charconv>

#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

constexpr size_t kDefaultStalls = 100;
constexpr size_t kMaxStalls = 1000;

std::string loops_json(const Snapshot& snapshot) {
  auto loops = nlohmann::ordered_json::array();
  for (const auto& [name, workload] : snapshot.totals.workloads()) {
    auto kinds = nlohmann::ordered_json::array();
    for (const auto& [kind, count] : workload.loops)
      if (count > 0)
        kinds.push_back({{"loop", kind.first}, {"python", kind.second}, {"count", count}});
    auto workers = nlohmann::ordered_json::array();
    for (const auto& [number, worker] : workload.workers) {
      auto causes = nlohmann::ordered_json::object();
      uint64_t busy = 0;
      uint64_t stalled = 0;
      for (size_t i = 0; i < LS_CAUSES; i++) {
        busy += worker.busy[i];
        if (worker.busy[i] > 0) causes[kCauseNames[i]] = static_cast<double>(worker.busy[i]) / 1e9;
      }
      for (const auto& [loop, ns] : worker.stalled_ns) stalled = std::max(stalled, ns);
      workers.push_back({{"worker", number},
                         {"loops", worker.stalled_ns.size()},
                         {"iterations", worker.iterations},
                         {"busy_seconds", static_cast<double>(busy) / 1e9},
                         {"idle_seconds", static_cast<double>(worker.idle_ns) / 1e9},
                         {"stalled_seconds", static_cast<double>(stalled) / 1e9},
                         {"causes", std::move(causes)}});
    }
    loops.push_back(
        {{"workload", name}, {"loops", std::move(kinds)}, {"workers", std::move(workers)}});
  }
  return to_line(loops) + "\n";
}

HttpResponse stalls(const Publication& publication, const HttpRequest& request) {
  size_t limit = kDefaultStalls;
  if (std::string text = request.parameter("limit"); !text.empty()) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (error != std::errc() || end != text.data() + text.size())
      return refusal(400, "limit must be a number");
  }
  auto found = nlohmann::ordered_json::array();
  for (auto& stall : publication.stalls(std::min(limit, kMaxStalls), request.parameter("workload"),
                                        request.parameter("cause")))
    found.push_back(std::move(stall));
  return {.content_type = kJsonType, .body = to_line(found) + "\n"};
}

}  // namespace

void add_api(Routes& routes, const Publication& publication) {
  routes.add({.path = "/api/v1/loops", .handler = [&](const HttpRequest&) -> HttpResponse {
                return {.content_type = kJsonType, .body = loops_json(*publication.snapshot())};
              }});
  routes.add({.path = "/api/v1/stalls",
              .parameters = {"limit", "workload", "cause"},
              .handler = [&](const HttpRequest& request) { return stalls(publication, request); }});
}

}  // namespace loopsight
