#include "daemon/event/pool_codec.h"

#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "daemon/base/json_fields.h"

namespace loopsight {
namespace {

using Json = nlohmann::json;

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

template <typename Value>
void read(const Json& json, const char* key, Value& value) {
  auto found = json.find(key);
  if (found == json.end()) return;
  if constexpr (std::is_same_v<Value, std::string>) {
    if (found->is_string()) value = found->get<std::string>();
  } else if (found->is_number_unsigned()) {
    value = found->template get<Value>();
  }
}

template <typename Value>
void read(const Json& json, const char* key, std::optional<Value>& value) {
  auto found = json.find(key);
  if (found == json.end()) return;
  if (std::is_floating_point_v<Value> ? found->is_number() : found->is_number_unsigned())
    value = found->template get<Value>();
}

Json pool_json(const SeenPool& pool) {
  Json frames = Json::array();
  for (const SeenFrame& frame : pool.frames)
    frames.push_back({{"function", frame.function}, {"file", frame.file}, {"line", frame.line}});
  return {{"id", pool.id},
          {"name", pool.name},
          {"threads", pool.threads},
          {"busy", pool.busy},
          {"max_workers", or_null(pool.max_workers)},
          {"queued", or_null(pool.queued)},
          {"oldest_wait_ns", pool.oldest_wait_ns},
          {"frames", std::move(frames)},
          {"alike", pool.alike}};
}

SeenPool read_pool(const Json& json) {
  SeenPool pool;
  read(json, "id", pool.id);
  read(json, "name", pool.name);
  read(json, "threads", pool.threads);
  read(json, "busy", pool.busy);
  read(json, "max_workers", pool.max_workers);
  read(json, "queued", pool.queued);
  read(json, "oldest_wait_ns", pool.oldest_wait_ns);
  read(json, "alike", pool.alike);
  auto frames = json.find("frames");
  if (frames == json.end() || !frames->is_array()) return pool;
  for (const Json& one : *frames) {
    if (!one.is_object() || pool.frames.size() >= kMaxPoolFrames) break;
    SeenFrame frame;
    read(one, "function", frame.function);
    read(one, "file", frame.file);
    read(one, "line", frame.line);
    pool.frames.push_back(std::move(frame));
  }
  return pool;
}

}  // namespace

Json pools_json(const PoolState& state) {
  Json pools = Json::array();
  for (const SeenPool& pool : state.pools) pools.push_back(pool_json(pool));
  return {{"pools", std::move(pools)},
          {"cpus_used", or_null(state.cpus_used)},
          {"cpus_quota", or_null(state.cpus_quota)}};
}

Result<PoolState> decode_pools(const ls_header& header, std::span<const std::byte> payload) {
  auto json = parse_json<Json>(payload);
  if (!json.is_object()) return failure("thread pools are no JSON object");
  PoolState state{.time_ns = header.time_ns, .tgid = header.tgid};
  read(json, "cpus_used", state.cpus_used);
  read(json, "cpus_quota", state.cpus_quota);
  constexpr double kMostCpus = 1e6;
  for (auto* cpus : {&state.cpus_used, &state.cpus_quota})
    if (*cpus && !(**cpus >= 0 && **cpus <= kMostCpus)) cpus->reset();
  auto pools = json.find("pools");
  if (pools == json.end() || !pools->is_array()) return failure("no list of thread pools");
  for (const Json& one : *pools) {
    if (state.pools.size() >= kMaxPools) break;
    if (!one.is_object()) return failure("a thread pool is no JSON object");
    SeenPool pool = read_pool(one);
    if (pool.busy > pool.threads) return failure("more threads of a pool are busy than it has");
    if (pool.oldest_wait_ns > state.time_ns) return failure("a job waits for longer than the host");
    state.pools.push_back(std::move(pool));
  }
  return state;
}

}  // namespace loopsight
