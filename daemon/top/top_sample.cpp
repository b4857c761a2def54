#include "daemon/top/top_sample.h"

#include <fmt/format.h>

#include "daemon/base/json_fields.h"
#include "daemon/base/text.h"
#include "daemon/event/event.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxLoops = 5000;
constexpr size_t kMaxStalls = 1000;
constexpr size_t kMaxName = 200;
constexpr size_t kMaxAdvice = 400;

double number(const Json& json, const char* key) { return json_number(json, key).value_or(0); }

uint64_t whole(const Json& json, const char* key) {
  return static_cast<uint64_t>(number(json, key));
}

TopLoop read_loop(const Json& json) {
  TopLoop loop{.workload = json_text(json, "workload", kMaxName),
               .worker = whole(json, "worker"),
               .pid = whole(json, "pid"),
               .tid = whole(json, "tid"),
               .kind = json_text(json, "loop", kMaxName),
               .python = json_text(json, "python", kMaxName),
               .iterations = number(json, "iterations"),
               .busy_seconds = number(json, "busy_seconds"),
               .idle_seconds = number(json, "idle_seconds"),
               .stalled_seconds = number(json, "stalled_seconds")};
  const Json& causes = json_member(json, "causes");
  for (size_t cause = 0; cause < loop.causes.size(); cause++)
    loop.causes[cause] = number(causes, kCauseNames[cause]);
  return loop;
}

TopStall read_stall(const Json& json) {
  TopStall stall{.workload = json_text(json, "workload", kMaxName),
                 .worker = whole(json, "worker"),
                 .tid = whole(json, "tid"),
                 .start_ns = json_number(json, "monotonic_ns", 1e19).value_or(0),
                 .seconds = number(json, "duration_seconds"),
                 .cause = json_text(json, "cause", kMaxName),
                 .advice = json_text(json, "advice", kMaxAdvice)};
  if (std::string time = json_text(json, "time", kMaxName); time.size() > 19)
    stall.time = clean_text(time.substr(11, 8), 24);  // may be cut inside a character
  const Json& in_progress = json_member(json, "in_progress");
  stall.in_progress = in_progress.is_boolean() && in_progress.get<bool>();
  const Json& culprit = json_member(json, "culprit");
  stall.culprit = json_text(culprit, "function", kMaxName);
  if (std::string module = json_text(culprit, "module", kMaxName); !module.empty())
    stall.culprit = fmt::format("{}:{}", module, stall.culprit);
  if (std::string file = json_text(culprit, "file", kMaxName); !file.empty())
    stall.place = fmt::format("{}:{}", file, whole(culprit, "line"));
  const Json& delayed = json_member(json, "delayed");
  stall.delayed_events = json_number(delayed, "events");
  stall.delayed_seconds = number(delayed, "seconds");
  return stall;
}

}  // namespace

Result<TopSample> parse_sample(std::string_view loops, std::string_view stalls) {
  TopSample sample;
  Json loop_list = parse_json(loops);
  Json stall_list = parse_json(stalls);
  if (!loop_list.is_array() || !stall_list.is_array())
    return failure("the answer is not that of loopsight's daemon");
  for (const Json& one : loop_list)
    if (sample.loops.size() < kMaxLoops) sample.loops.push_back(read_loop(one));
  for (const Json& one : stall_list)
    if (sample.stalls.size() < kMaxStalls) sample.stalls.push_back(read_stall(one));
  return sample;
}

}  // namespace loopsight
