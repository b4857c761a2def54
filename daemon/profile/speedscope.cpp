#include "daemon/profile/speedscope.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

Json frame_json(const Frame& frame) {
  Json json = {{"name", frame.module.empty() ? frame.function
                                             : fmt::format("{}:{}", frame.module, frame.function)}};
  if (!frame.file.empty()) json["file"] = frame.file;
  if (frame.line > 0) json["line"] = frame.line;
  return json;
}

struct LoopProfile {
  Json samples = Json::array();
  Json weights = Json::array();
  uint64_t end = 0;
};

}  // namespace

std::string speedscope_json(const StallProfile& profile, const std::string& name) {
  Json frames = Json::array();
  for (const Frame& frame : profile.frames()) frames.push_back(frame_json(frame));
  std::map<std::string, size_t> extra;  // frames of ours: causes, and what was not seen
  auto extra_frame = [&](const std::string& label) {
    auto [entry, is_new] = extra.try_emplace(label, frames.size());
    if (is_new) frames.push_back({{"name", label}});
    return entry->second;
  };
  std::vector<LoopProfile> loops(profile.loops().size());
  for (const StallProfile::Sample& sample : profile.samples()) {
    Json stack = profile.stacks()[sample.stack];
    if (stack.empty()) stack.push_back(extra_frame("[not seen]"));
    stack.push_back(extra_frame(fmt::format("[{}]", kCauseNames[sample.cause])));
    LoopProfile& loop = loops[sample.loop];
    loop.samples.push_back(std::move(stack));
    loop.weights.push_back(sample.ns);
    loop.end += sample.ns;
  }
  Json profiles = Json::array();
  for (size_t i = 0; i < loops.size(); i++) {
    const StallProfile::Loop& loop = profile.loops()[i];
    profiles.push_back({{"type", "sampled"},
                        {"name", fmt::format("{}[{}] pid {} tid {} {}", loop.workload, loop.worker,
                                             loop.pid, loop.tid, name_of(loop.kind))},
                        {"unit", "nanoseconds"},
                        {"startValue", 0},
                        {"endValue", loops[i].end},
                        {"samples", std::move(loops[i].samples)},
                        {"weights", std::move(loops[i].weights)}});
  }
  if (profiles.empty())  // the viewer refuses a file without a profile
    profiles.push_back({{"type", "sampled"},
                        {"name", "no stalls"},
                        {"unit", "nanoseconds"},
                        {"startValue", 0},
                        {"endValue", 0},
                        {"samples", Json::array()},
                        {"weights", Json::array()}});
  Json file = {{"$schema", "https://www.speedscope.app/file-format-schema.json"},
               {"exporter", "loopsight"},
               {"name", name},
               {"activeProfileIndex", 0},
               {"shared", {{"frames", std::move(frames)}}},
               {"profiles", std::move(profiles)}};
  return to_line(file) + "\n";
}

}  // namespace loopsight
