#include "daemon/report/tally.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <initializer_list>

#include "daemon/base/json_fields.h"
#include "daemon/base/text.h"
#include "daemon/event/event.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxName = 200;
constexpr size_t kMaxAdvice = 400;
constexpr double kMaxSeconds = 366.0 * 86400;

std::string text_of(const Json& json, const char* key, size_t max = kMaxName) {
  return json_text(json, key, max);
}

bool is_cause(const std::string& name) {
  return std::find(kCauseNames.begin(), kCauseNames.end(), name) != kCauseNames.end();
}

// "2026-11-22T18:04:05.123456Z" -> seconds since 1970.
std::optional<double> parse_time(const std::string& time) {
  std::tm parts{};
  const char* rest = strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return std::nullopt;
  double fraction = 0;
  if (*rest == '.') {
    double scale = 0.1;
    for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
      fraction += (*rest - '0') * scale;
  }
  if (std::string_view(rest) != "Z") return std::nullopt;
  constexpr double kLatest = 9e9;  // in the year 2255; a nanosecond of it still has 64 bits
  double seconds = static_cast<double>(timegm(&parts)) + fraction;
  if (seconds < 0 || seconds > kLatest) return std::nullopt;
  return seconds;
}

void add_delayed(const Json& json, DelayedTally& tally) {
  const Json& delayed = json_member(json, "delayed");
  if (!delayed.is_object()) return;
  tally.stalls++;
  tally.events += json_number(delayed, "events").value_or(0);
  tally.seconds += json_number(delayed, "seconds").value_or(0);
  tally.timer_lateness_seconds =
      std::max(tally.timer_lateness_seconds,
               json_number(delayed, "timer_lateness_seconds", kMaxSeconds).value_or(0));
  const Json& exact = json_member(delayed, "exact");
  tally.exact = tally.exact && exact.is_boolean() && exact.get<bool>();
}

std::string culprit_name(const Json& culprit) {
  std::string function = text_of(culprit, "function");
  if (function.empty()) return "(no frames)";
  std::string module = text_of(culprit, "module");
  return module.empty() ? function : fmt::format("{}:{}", module, function);
}

std::string culprit_place(const Json& culprit) {
  std::string file = text_of(culprit, "file");
  auto line = json_number(culprit, "line");
  return file.empty() ? "" : fmt::format("{}:{:.0f}", file, line.value_or(0));
}

}  // namespace

namespace {

// Plain values of these keys, bounded.
Json plain(const Json& json, std::initializer_list<const char*> keys) {
  if (!json.is_object()) return nullptr;
  Json kept = Json::object();
  for (const char* key : keys) {
    const Json& value = json_member(json, key);
    if (value.is_string())
      kept[key] = text_of(json, key, kMaxAdvice);
    else if (value.is_number() || value.is_boolean())
      kept[key] = value;
  }
  return kept;
}

// What is needed of a stall in progress until its end is seen.
Json slim(const Json& json) {
  Json kept = plain(json, {"type", "time", "monotonic_ns", "host", "workload", "worker", "tid",
                           "python", "loop", "duration_seconds", "cause", "blame", "advice"});
  kept["in_progress"] = false;
  kept["culprit"] = plain(json_member(json, "culprit"), {"function", "module", "file", "line"});
  kept["delayed"] =
      plain(json_member(json, "delayed"), {"events", "seconds", "timer_lateness_seconds", "exact"});
  return kept;
}

}  // namespace

double Tally::window_seconds() const {
  if (watched_) return *watched_;
  return span_ ? span_->second - span_->first : 0;
}

LoopTally* Tally::loop_of(LoopKey key) {
  auto found = loops_.find(key);
  if (found != loops_.end()) return &found->second;
  if (loops_.size() >= limits_.loops) return nullptr;
  return &loops_[std::move(key)];
}

void Tally::add_line(std::string_view line) {
  Json json = parse_json(line);
  if (json.is_discarded())
    bad_lines_++;
  else
    add(json);
}

void Tally::add(const Json& json) {
  std::string type = text_of(json, "type");
  bool good = false;
  if (type == "stall") good = add_stall(json);
  if (type == "executor") good = add_executor(json);
  if (type == "congestion") good = true;  // its busy time is in the summary
  if (type == "summary") good = add_summary(json);
  if (!good) bad_lines_++;
}

bool Tally::add_stall(const Json& json) {
  auto seconds = json_number(json, "duration_seconds", kMaxSeconds);
  auto start = parse_time(text_of(json, "time"));
  auto monotonic_ns = json_number(json, "monotonic_ns", 1e19);
  auto tid = json_number(json, "tid", 1e10);
  std::string cause = text_of(json, "cause");
  const Json& in_progress = json_member(json, "in_progress");
  if (!seconds || !start || !monotonic_ns || !tid || !is_cause(cause) || !in_progress.is_boolean())
    return false;
  std::string host = text_of(json, "host");
  std::string identity = fmt::format("{} {} {}", host, *tid, *monotonic_ns);
  if (in_progress.get<bool>()) {
    if (running_.size() < limits_.running || running_.count(identity) > 0) {
      running_[identity] = slim(json);
    }
    return true;
  }
  running_.erase(identity);
  auto ns = static_cast<uint64_t>(std::llround(*seconds * 1e9));
  if (!span_) span_ = {*start, *start + *seconds};
  span_->first = std::min(span_->first, *start);
  span_->second = std::max(span_->second, *start + *seconds);
  durations_.add(ns);
  causes_[cause].add(ns);
  add_delayed(json, delayed_);
  if (text_of(json, "blame") == "host") host_stalls_++;

  const Json& culprit = json_member(json, "culprit");
  CulpritKey key{culprit_name(culprit), cause};
  if (culprits_.count(key) == 0 && culprits_.size() >= limits_.culprits) {
    folded_++;
    key = {"(other)", cause};
  }
  CulpritTally& tally = culprits_[key];
  if (ns >= tally.durations.longest_ns()) {
    tally.where = culprit_place(culprit);
    tally.advice = text_of(json, "advice", kMaxAdvice);
  }
  tally.durations.add(ns);
  add_delayed(json, tally.delayed);

  auto worker = static_cast<uint64_t>(json_number(json, "worker", 1e6).value_or(0));
  if (LoopTally* loop = loop_of({host, text_of(json, "workload"), worker})) {
    loop->kind = text_of(json, "loop", 20);
    loop->python = text_of(json, "python", 20);
    loop->stalls++;
    loop->stalled_ns += ns;
  }
  return true;
}

bool Tally::add_executor(const Json& json) {
  auto seconds = json_number(json, "duration_seconds", kMaxSeconds);
  const Json& in_progress = json_member(json, "in_progress");
  if (!seconds || !in_progress.is_boolean()) return false;
  executors_.most_queued =
      std::max(executors_.most_queued, json_number(json, "queued").value_or(0));
  executors_.longest_wait_seconds =
      std::max(executors_.longest_wait_seconds,
               json_number(json, "oldest_wait_seconds", kMaxSeconds).value_or(0));
  if (in_progress.get<bool>()) return true;  // its end comes too
  executors_.saturations++;
  executors_.seconds += *seconds;
  return true;
}

bool Tally::add_summary(const Json& json) {
  auto iterations = json_number(json, "iterations");
  auto busy = json_number(json, "busy_seconds");
  auto idle = json_number(json, "idle_seconds");
  if (!iterations || !busy || !idle) return false;
  iterations_ += *iterations;
  busy_ += *busy;
  idle_ += *idle;
  lost_ += json_number(json, "lost").value_or(0);
  if (auto watched = json_number(json, "watched_seconds", kMaxSeconds))
    watched_ = watched_.value_or(0) + *watched;
  const Json& loops = json_member(json, "loops");
  if (!loops.is_array()) return true;
  size_t seen_loops = 0;
  for (const Json& one : loops) {
    if (++seen_loops > limits_.loops) break;
    auto worker = static_cast<uint64_t>(json_number(one, "worker", 1e6).value_or(0));
    // A summary does not repeat the host's name: its loops join those of the stalls before it.
    LoopKey key{"", text_of(one, "workload"), worker};
    for (const auto& [seen, tally] : loops_)
      if (std::get<1>(seen) == std::get<1>(key) && std::get<2>(seen) == worker) key = seen;
    LoopTally* loop = loop_of(key);
    if (!loop) continue;
    if (loop->kind.empty()) loop->kind = text_of(one, "loop", 20);
    loop->iterations += json_number(one, "iterations").value_or(0);
    loop->busy_seconds += json_number(one, "busy_seconds").value_or(0);
    loop->idle_seconds += json_number(one, "idle_seconds").value_or(0);
  }
  return true;
}

void Tally::finish() {
  auto running = std::move(running_);
  running_.clear();
  never_ended_ += running.size();
  for (const auto& [identity, json] : running) add_stall(json);
}

}  // namespace loopsight
