// `loopsight check`: what this host can do, and which Python processes it has.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "daemon/attribute/workloads.h"
#include "daemon/base/text.h"
#include "daemon/command/commands.h"
#include "daemon/host/proc.h"
#include "daemon/live/live.h"
#include "daemon/live/usdt_policy.h"
#include "daemon/pipeline.h"
#include "daemon/probe/features.h"
#include "daemon/probe/tracer.h"
#include "daemon/python/process_reader.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

struct PythonProcess {
  ProcessFacts facts;
  std::string workload;
  std::string no_frames;            // why its frames cannot be read, "" where they can
  std::vector<std::string> probes;  // those of its own that can be attached to
  std::string no_probes;            // why there are none, "" where there are
};

struct Host {
  std::vector<Feature> features;
  std::vector<ProbeStatus> probes;
  std::string probe_error;  // why no probe could be attached, "" where they could
  std::vector<PythonProcess> processes;
};

// The groups of CPython's own probes that a file has and that may be attached to.
std::vector<std::string> usable_probes(const PythonFile& file) {
  std::vector<std::string> names;
  for (uint32_t group = 0; file.trusted && group < LS_GROUPS; group++) {
    if (group == LS_GROUP_FUNCTIONS && !why_no_functions(file).empty()) continue;
    bool has =
        std::any_of(file.probes.sites.begin(), file.probes.sites.end(),
                    [&](const ProbeSite& site) { return group_of(site.spec.kind) == group; });
    if (has) names.emplace_back(kProbeGroupNames[group]);
  }
  return names;
}

std::string why_no_probes(const PythonFile& file) {
  if (file.probes.sites.empty()) return "built without them";
  if (!file.trusted)
    return fmt::format("its file belongs to user {} or others may write to it", file.owner);
  return "";
}

std::vector<PythonProcess> find_processes() {
  std::vector<PythonProcess> found;
  ProcessReader reader;
  for (uint32_t pid : list_pids("/proc")) {
    ProcessFacts facts = reader.read(pid);
    if (facts.python.empty() && !facts.unread) continue;
    auto layout = reader.layout(pid);
    auto python = reader.find_python(pid);
    found.push_back({.facts = facts,
                     .workload = workload_name(facts),
                     .no_frames = layout ? "" : layout.error().message,
                     .probes = python ? usable_probes(python->file) : std::vector<std::string>(),
                     .no_probes = python ? why_no_probes(python->file) : "gone"});
  }
  return found;
}

Host look() {
  Host host{.features = probe_features()};
  // Nothing is watched: the process list is empty.
  auto tracer = Tracer::open({.listed_only = true, .measure_cost = false});
  if (!tracer) {
    host.probe_error = tracer.error().message;
  } else if (auto attached = tracer->attach(); !attached) {
    host.probe_error = attached.error().message;
  } else {
    host.probes = tracer->probes();
  }
  host.processes = find_processes();
  return host;
}

bool works(const Host& host) { return host.probe_error.empty(); }

void print_text(const Host& host) {
  fmt::print("Kernel\n");
  for (const Feature& feature : host.features) {
    const char* mark = feature.ok ? "yes" : feature.required ? "NO" : "no";
    fmt::print("  {:<4}{:<22}{}\n", mark, feature.name, feature.detail);
    if (!feature.remedy.empty()) fmt::print("      {:<22}-> {}\n", "", feature.remedy);
  }
  fmt::print("Probes\n");
  if (!host.probe_error.empty()) fmt::print("  NO  {}\n", host.probe_error);
  for (const ProbeStatus& probe : host.probes)
    fmt::print("  {:<4}{}{}\n", probe.attached ? "yes" : "no", probe.name,
               probe.attached ? "" : ": " + probe.why_not);
  fmt::print("Python processes ({})\n", host.processes.size());
  for (const PythonProcess& process : host.processes) {
    const ProcessFacts& facts = process.facts;
    std::string note = !facts.is_python            ? ": " + facts.why_not
                       : process.no_frames.empty() ? ", with frames"
                                                   : ", without frames: " + process.no_frames;
    fmt::print("  {:<4}pid {:<8} python {:<10} {}{}\n", facts.is_python ? "yes" : "no", facts.tgid,
               facts.unread ? "?" : clean_text(facts.python, 32), process.workload, note);
    if (!facts.is_python) continue;
    if (process.no_probes.empty())
      fmt::print("      own probes: {}\n", fmt::join(process.probes, ", "));
    else
      fmt::print("      no own probes ({}): gc and import are inferred, calls are not named\n",
                 process.no_probes);
  }
  fmt::print("{}\n", works(host) ? "loopsight can trace on this host."
                                 : "loopsight cannot trace on this host.");
}

Json to_json(const Host& host) {
  Json features = Json::array();
  for (const Feature& feature : host.features)
    features.push_back({{"name", feature.name},
                        {"ok", feature.ok},
                        {"required", feature.required},
                        {"detail", feature.detail},
                        {"remedy", feature.remedy.empty() ? Json() : Json(feature.remedy)}});
  Json probes = Json::array();
  for (const ProbeStatus& probe : host.probes)
    probes.push_back({{"name", probe.name},
                      {"attached", probe.attached},
                      {"why_not", probe.attached ? Json() : Json(probe.why_not)}});
  Json processes = Json::array();
  for (const PythonProcess& process : host.processes)
    processes.push_back(
        {{"pid", process.facts.tgid},
         {"python", process.facts.unread ? Json() : Json(process.facts.python)},
         {"workload", process.workload},
         {"workload_source", name_of(workload_of(process.facts).source)},
         {"supported", process.facts.is_python},
         {"frames", process.facts.is_python && process.no_frames.empty()},
         {"why_no_frames", process.no_frames.empty() ? Json() : Json(process.no_frames)},
         {"probes", process.probes},
         {"why_no_probes", process.no_probes.empty() ? Json() : Json(process.no_probes)},
         {"inferred_causes", process.no_probes.empty() ? Json::array() : Json({"gc", "import"})},
         {"why_not", process.facts.is_python ? Json() : Json(process.facts.why_not)}});
  return {{"type", "check"},
          {"works", works(host)},
          {"error", works(host) ? Json() : Json(host.probe_error)},
          {"features", std::move(features)},
          {"probes", std::move(probes)},
          {"processes", std::move(processes)}};
}

}  // namespace

Result<int> check(const CheckConfig& config) {
  Host host = look();
  if (config.format == Format::kJson)
    fmt::print("{}\n", to_line(to_json(host)));
  else
    print_text(host);
  return works(host) ? 0 : 1;
}

}  // namespace loopsight
