#include "daemon/report/report_json.h"

#include <set>

#include "daemon/report/verdict.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

Json durations_json(const Durations& durations) {
  return {{"stalls", durations.count()},
          {"seconds", seconds(durations.sum_ns())},
          {"median_seconds", seconds(durations.quantile_ns(0.5))},
          {"p90_seconds", seconds(durations.quantile_ns(0.9))},
          {"p99_seconds", seconds(durations.quantile_ns(0.99))},
          {"longest_seconds", seconds(durations.longest_ns())}};
}

Json delayed_json(const DelayedTally& delayed) {
  if (delayed.stalls == 0) return nullptr;
  return {{"stalls", delayed.stalls},
          {"events", delayed.events},
          {"seconds", delayed.seconds},
          {"timer_lateness_seconds", delayed.timer_lateness_seconds},
          {"exact", delayed.exact}};
}

Json culprits_json(const Tally& tally) {
  Json list = Json::array();
  for (const auto& [key, one] : tally.culprits()) {
    Json json = {{"culprit", key.first}, {"cause", key.second}};
    json.update(durations_json(one.durations));
    json["delayed"] = delayed_json(one.delayed);
    json["where"] = one.where;
    json["advice"] = one.advice;
    list.push_back(std::move(json));
  }
  return list;
}

Json loops_json(const Tally& tally) {
  Json list = Json::array();
  for (const auto& [key, loop] : tally.loops())
    list.push_back({{"host", std::get<0>(key)},
                    {"workload", std::get<1>(key)},
                    {"worker", std::get<2>(key)},
                    {"loop", loop.kind},
                    {"python", loop.python},
                    {"stalls", loop.stalls},
                    {"seconds", seconds(loop.stalled_ns)},
                    {"iterations", loop.iterations},
                    {"busy_seconds", loop.busy_seconds},
                    {"idle_seconds", loop.idle_seconds}});
  return list;
}

Json tally_json(const NamedTally& one) {
  const Tally& tally = one.tally;
  Json json = {
      {"name", one.name},
      {"watched_seconds", tally.watched_seconds() ? Json(*tally.watched_seconds()) : Json()},
      {"window_seconds", tally.window_seconds()}};
  json.update(durations_json(tally.durations()));
  json["host_stalls"] = tally.host_stalls();
  json["delayed"] = delayed_json(tally.delayed());
  json["executors"] = {{"saturations", tally.executors().saturations},
                       {"seconds", tally.executors().seconds},
                       {"most_queued", tally.executors().most_queued},
                       {"longest_wait_seconds", tally.executors().longest_wait_seconds}};
  json["iterations"] = tally.iterations();
  json["busy_seconds"] = tally.busy_seconds();
  json["idle_seconds"] = tally.idle_seconds();
  json["lost"] = tally.lost();
  json["never_ended"] = tally.never_ended();
  json["bad_lines"] = tally.bad_lines();
  Json causes = Json::object();
  for (const auto& [cause, durations] : tally.causes()) causes[cause] = durations_json(durations);
  json["causes"] = std::move(causes);
  json["culprits"] = culprits_json(tally);
  json["loops"] = loops_json(tally);
  return json;
}

}  // namespace

Json report_json(const NamedTally& one) {
  Json json = {{"type", "report"}};
  json.update(tally_json(one));
  json["caveats"] = caveats(one);
  return json;
}

Json comparison_json(const NamedTally& before, const NamedTally& after) {
  auto verdict = [&](const Durations& first, const Durations& second) {
    return verdict_text(compare_rates(first.count(), before.tally.window_seconds(), second.count(),
                                      after.tally.window_seconds()));
  };
  std::set<Tally::CulpritKey> keys;
  for (const NamedTally* one : {&before, &after})
    for (const auto& [key, culprit] : one->tally.culprits()) keys.insert(key);
  Json changes = Json::array();
  for (const auto& key : keys) {
    Durations first;
    Durations second;
    if (auto found = before.tally.culprits().find(key); found != before.tally.culprits().end())
      first = found->second.durations;
    if (auto found = after.tally.culprits().find(key); found != after.tally.culprits().end())
      second = found->second.durations;
    changes.push_back({{"culprit", key.first},
                       {"cause", key.second},
                       {"before", durations_json(first)},
                       {"after", durations_json(second)},
                       {"verdict", verdict(first, second)}});
  }
  return {{"type", "comparison"},
          {"verdict", verdict(before.tally.durations(), after.tally.durations())},
          {"before", tally_json(before)},
          {"after", tally_json(after)},
          {"culprits", std::move(changes)},
          {"caveats", caveats(before, after)}};
}

}  // namespace loopsight
