#include "daemon/sink/json_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json causes_json(const CauseTimes& causes) {
  Json json = Json::object();
  for (size_t i = 0; i < causes.size(); i++)
    if (causes[i] > 0) json[kCauseNames[i]] = seconds(causes[i]);
  return json;
}

Json frame_json(const Frame& frame) {
  return {{"function", frame.function}, {"file", frame.file}, {"line", frame.line}};
}

Json frames_json(const std::vector<Frame>& frames) {
  Json json = Json::array();
  for (const Frame& frame : frames) json.push_back(frame_json(frame));
  return json;
}

Json holder_json(const std::optional<GilHolder>& holder) {
  if (!holder) return nullptr;
  return {{"tid", holder->tid == 0 ? Json() : Json(holder->tid)},
          {"frames", frames_json(holder->frames)}};
}

Json contributors_json(const std::vector<Contributor>& contributors) {
  Json json = Json::array();
  for (const Contributor& one : contributors)
    json.push_back({{"function", one.frame.function},
                    {"file", one.frame.file},
                    {"line", one.frame.line},
                    {"seconds", seconds(one.ns)},
                    {"cause", kCauseNames[one.cause]}});
  return json;
}

Json wait_json(const std::optional<WaitReport>& wait) {
  if (!wait) return nullptr;
  return {{"syscall", text_or_null(wait->syscall)},
          {"target", wait->target ? Json(*wait->target) : Json()}};
}

Json own_wait_json(const std::optional<WaitReport>& wait) {
  Json json = wait_json(wait);
  if (!wait) return json;
  json["culprit"] = wait->culprit ? frame_json(*wait->culprit) : Json();
  json["leaf"] = wait->leaf ? frame_json(*wait->leaf) : Json();
  json["timed_out"] = wait->timed_out;
  json["kernel"] = wait->kernel.empty() ? Json() : Json(wait->kernel);
  return json;
}

Json culprit_json(const std::optional<Frame>& culprit) {
  if (!culprit) return nullptr;
  return {{"function", culprit->function},
          {"module", culprit->module},
          {"file", culprit->file},
          {"line", culprit->line},
          {"expression", text_or_null(culprit->expression)}};
}

Json judged_culprit_json(const StallReport& report) {
  Json json = culprit_json(report.culprit);
  if (report.culprit) json["rule"] = name_of(report.rule);
  return json;
}

Json left_out_json(const StallReport& report) {
  if (report.frames_left_out == 0) return nullptr;
  return {{"frames", report.frames_left_out}, {"after", report.left_out_after}};
}

Json leaf_json(const StallReport& report) {
  if (report.frames.empty()) return nullptr;
  Json json = frame_json(report.frames.front());
  json["expression"] = text_or_null(report.frames.front().expression);
  json["c_function"] = text_or_null(report.callee);
  return json;
}

Json system_json(const std::optional<SystemReport>& system) {
  if (!system) return nullptr;
  return {
      {"call", text_or_null(system->call)},
      {"seconds", seconds(system->ns)},
      {"minor_faults", system->minor_faults},
      {"address_space_bytes", system->address_space > 0 ? Json(system->address_space) : Json()}};
}

Json gc_json(const std::optional<GcReport>& gc) {
  if (!gc) return nullptr;
  return {{"generation", gc->generation ? Json(*gc->generation) : Json()},
          {"seconds", seconds(gc->ns)},
          {"pauses", gc->count > 0 ? Json(gc->count) : Json()}};
}

Json import_json(const std::optional<ImportReport>& import) {
  if (!import) return nullptr;
  return {{"name", import->name}, {"seconds", seconds(import->ns)}};
}

Json call_json(const std::optional<CallReport>& call) {
  if (!call) return nullptr;
  return {{"event", call->event}, {"argument", call->argument ? Json(*call->argument) : Json()}};
}

Json waited_for_json(const std::optional<WaitedFor>& waited_for) {
  if (!waited_for) return nullptr;
  Json wait;
  if (waited_for->wait) {
    wait = wait_json(waited_for->wait);
    wait["cause"] = kCauseNames[waited_for->wait->cause];
    wait["seconds"] = seconds(waited_for->wait->duration_ns);
  }
  return {{"tid", waited_for->tid},
          {"comm", text_or_null(waited_for->comm)},
          {"wait", std::move(wait)},
          {"frames", frames_json(waited_for->frames)},
          {"ran_seconds", waited_for->ran_ns > 0 ? Json(seconds(waited_for->ran_ns)) : Json()}};
}

Json functions_json(const StallReport& report) {
  if (report.stall.calls == 0) return nullptr;
  Json json = Json::array();
  for (const FunctionCalls& one : report.functions)
    json.push_back(
        {{"function", one.function}, {"file", one.file}, {"line", one.line}, {"calls", one.calls}});
  return {{"calls", report.stall.calls}, {"most_called", std::move(json)}};
}

// The causes whose time the frames told, since the interpreter has no probes that would.
Json inferred_json(const std::vector<MovedTime>& moved) {
  Json json = Json::array();
  for (uint32_t cause : {LS_CAUSE_GC, LS_CAUSE_IMPORT})
    if (std::any_of(moved.begin(), moved.end(),
                    [&](const MovedTime& one) { return one.to == cause && one.ns > 0; }))
      json.push_back(kCauseNames[cause]);
  return json;
}

Json delayed_json(const std::optional<Delayed>& delayed) {
  if (!delayed) return nullptr;
  return {{"events", delayed->events},
          {"seconds", seconds(delayed->ns)},
          {"timer_lateness_seconds",
           delayed->timer_late_ns ? Json(seconds(*delayed->timer_late_ns)) : Json()},
          {"exact", delayed->exact},
          {"events_at_least", delayed->events_at_least},
          {"longest_seconds", seconds(delayed->longest_ns)}};
}

Json gil_waits_json(const std::optional<GilWaits>& waits) {
  if (!waits) return nullptr;
  return {{"count", waits->count}, {"convoy", waits->convoy}};
}

Json callbacks_json(const std::optional<ReadyCallbacks>& callbacks) {
  if (!callbacks) return nullptr;
  return {{"ready", callbacks->count},
          {"largest_share", callbacks->largest_share},
          {"largest_at_most", callbacks->largest_at_most}};
}

Result<void> write_line(std::FILE* out, const Json& json) {
  std::string line = to_line(json);
  line += '\n';
  if (std::fwrite(line.data(), 1, line.size(), out) != line.size() || std::fflush(out) != 0)
    return failure(fmt::format("cannot write the results: {}", std::strerror(errno)));
  return {};
}

}  // namespace

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json stall_json(const StallReport& report, const WallClock& clock, const std::string& host) {
  const Stall& stall = report.stall;
  const WorkloadProcess& process = report.process;
  return {{"type", "stall"},
          {"time", format_utc(clock.realtime_ns(stall.start_ns))},
          {"monotonic_ns", stall.start_ns},
          {"host", host},
          {"workload", process.workload},
          {"worker", process.worker},
          {"pid", stall.tgid},
          {"tid", stall.tid},
          {"comm", process.comm},
          {"container", text_or_null(process.container)},
          {"unit", text_or_null(process.unit)},
          {"python", text_or_null(process.python)},
          {"loop", name_of(stall.kind)},
          {"in_progress", stall.in_progress},
          {"duration_seconds", seconds(stall.duration_ns())},
          {"cause", kCauseNames[report.cause]},
          {"blame", report.host_to_blame ? "host" : "code"},
          {"causes", causes_json(stall.causes)},
          {"wait", own_wait_json(report.wait)},
          {"culprit", judged_culprit_json(report)},
          {"leaf", leaf_json(report)},
          {"frames", frames_json(report.frames)},
          {"contributors", contributors_json(report.contributors)},
          {"gil_holder", holder_json(report.gil_holder)},
          {"gc", gc_json(report.gc)},
          {"delayed", delayed_json(stall.delayed)},
          {"advice", report.advice},
          // Beyond the contract's keys.
          {"frames_cut", report.frames_cut},
          {"task", text_or_null(report.task)},
          {"callbacks", callbacks_json(report.callbacks)},
          {"import", import_json(report.import)},
          {"call", call_json(report.call)},
          {"functions", functions_json(report)},
          {"inferred", inferred_json(report.moved)},
          {"pod", text_or_null(process.pod)},
          {"gil_waits", gil_waits_json(report.gil_waits)},
          {"waited_for", waited_for_json(report.waited_for)},
          {"at_least", stall.at_least},
          {"workload_source", name_of(process.source)},
          {"frames_left_out", left_out_json(report)},
          {"system", system_json(report.system)},
          {"interpreter_lock_held", report.lock_held ? Json(*report.lock_held) : Json()}};
}

Json congestion_json(const CongestionReport& report, const WallClock& clock,
                     const std::string& host) {
  const WorkloadProcess& process = report.process;
  Json parts = Json::array();
  for (const BusyPart& part : report.parts) {
    Json json = frame_json(part.frame);
    json["cause"] = kCauseNames[part.cause];
    json["share"] = part.share;
    json["interpreter_lock_share"] = part.lock_held;
    parts.push_back(std::move(json));
  }
  return {{"type", "congestion"},
          {"time", format_utc(clock.realtime_ns(report.start_ns))},
          {"monotonic_ns", report.start_ns},
          {"host", host},
          {"workload", process.workload},
          {"worker", process.worker},
          {"pid", report.tgid},
          {"tid", report.tid},
          {"comm", process.comm},
          {"container", text_or_null(process.container)},
          {"unit", text_or_null(process.unit)},
          {"python", text_or_null(process.python)},
          {"loop", name_of(report.kind)},
          {"in_progress", report.in_progress},
          {"duration_seconds", seconds(report.end_ns - report.start_ns)},
          {"busy_share", report.busy_share()},
          {"causes", causes_json(report.causes)},
          {"culprit", report.parts.empty() ? Json() : culprit_json(report.parts[0].frame)},
          {"contributors", std::move(parts)},
          {"samples", report.samples},
          {"iterations", report.iterations},
          {"callbacks", report.callbacks > 0 ? Json(report.callbacks) : Json()},
          {"longest_seconds", report.longest_ns > 0 ? Json(seconds(report.longest_ns)) : Json()},
          {"timers", report.timers},
          {"timer_lateness_seconds", seconds(report.timers_late_ns)},
          {"advice", report.advice},
          {"workload_source", name_of(process.source)}};
}

Json executor_json(const ExecutorReport& report, const WallClock& clock, const std::string& host) {
  const Saturation& saturation = report.saturation;
  const SeenPool& pool = saturation.pool;
  const WorkloadProcess& process = report.process;
  auto number = [](const auto& value) { return value ? Json(*value) : Json(); };
  return {{"type", "executor"},
          {"time", format_utc(clock.realtime_ns(saturation.start_ns))},
          {"monotonic_ns", saturation.start_ns},
          {"host", host},
          {"workload", process.workload},
          {"worker", process.worker},
          {"pid", saturation.tgid},
          {"comm", process.comm},
          {"container", text_or_null(process.container)},
          {"unit", text_or_null(process.unit)},
          {"python", text_or_null(process.python)},
          {"pool", text_or_null(report.pool)},
          {"in_progress", saturation.in_progress},
          {"duration_seconds", seconds(saturation.duration_ns())},
          {"threads", pool.threads},
          {"busy", pool.busy},
          {"max_workers", number(pool.max_workers)},
          {"queued", number(pool.queued)},
          {"oldest_wait_seconds", seconds(pool.oldest_wait_ns)},
          {"culprit", culprit_json(report.culprit)},
          {"frames", frames_json(report.frames)},
          {"threads_alike", pool.alike},
          {"cpus_used", number(saturation.cpus_used)},
          {"cpus_quota", number(saturation.cpus_quota)},
          {"advice", report.advice},
          {"workload_source", name_of(process.source)}};
}

// The CPython processes without a loop, with what polled there and why that is none.
Json no_loops_json(const std::vector<NoLoop>& processes) {
  Json all = Json::array();
  for (const NoLoop& process : processes) {
    Json pollers = Json::array();
    for (const NoLoop::Poller& poller : process.pollers) {
      Json frames = Json::array();
      for (const Frame& frame : poller.frames)
        frames.push_back(
            {{"function", frame.function}, {"file", frame.file}, {"line", frame.line}});
      pollers.push_back({{"tid", poller.tid},
                         {"syscall", poller.syscall},
                         {"reason", poller.reason},
                         {"frames", std::move(frames)},
                         {"times", poller.times}});
    }
    all.push_back({{"pid", process.pid},
                   {"program", process.program},
                   {"python", text_or_null(process.python)},
                   {"pollers", std::move(pollers)}});
  }
  return all;
}

Json summary_json(const Summary& summary) {
  Json loops = Json::array();
  uint64_t busy = 0;
  for (uint64_t ns : summary.busy) busy += ns;
  for (const Summary::LoopLine& loop : summary.loops)
    loops.push_back({{"workload", loop.workload},
                     {"worker", loop.worker},
                     {"loop", loop.kind},
                     {"pid", loop.pid},
                     {"tid", loop.tid},
                     {"iterations", loop.iterations},
                     {"stalls", loop.stalls},
                     {"busy_seconds", seconds(loop.busy_ns)},
                     {"idle_seconds", seconds(loop.idle_ns)},
                     {"polls", loop.polls},
                     {"zero_polls", loop.zero_polls},
                     {"state", name_of(condition_of(loop.load))},
                     {"workload_source", name_of(loop.workload_source)}});
  return {{"type", "summary"},
          {"iterations", summary.iterations},
          {"stalls", summary.stalls},
          {"lost", summary.lost},
          {"busy_seconds", seconds(busy)},
          {"idle_seconds", seconds(summary.idle_ns)},
          {"causes", causes_json(summary.busy)},
          {"loops", std::move(loops)},
          // Beyond the contract's keys.
          {"watched_seconds", seconds(summary.watched_ns)},
          {"no_loops", no_loops_json(summary.no_loops)}};
}

Result<void> JsonSink::on_stall(const StallReport& report) {
  return write_line(out_, stall_json(report, clock_, host_));
}

Result<void> JsonSink::on_congestion(const CongestionReport& report) {
  return write_line(out_, congestion_json(report, clock_, host_));
}

Result<void> JsonSink::on_executor(const ExecutorReport& report) {
  return write_line(out_, executor_json(report, clock_, host_));
}

Result<void> JsonSink::on_summary(const Summary& summary) {
  return write_line(out_, summary_json(summary));
}

}  // namespace loopsight
