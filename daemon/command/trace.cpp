// `loopsight trace` and `loopsight record`: a trace in the foreground.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <memory>
#include <optional>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/command/commands.h"
#include "daemon/command/results.h"
#include "daemon/command/sudo_caller.h"
#include "daemon/host/source_reader.h"
#include "daemon/live/live.h"
#include "daemon/live/live_source.h"
#include "daemon/probe/privileges.h"
#include "daemon/python/process_reader.h"

namespace loopsight {
namespace {

constexpr int kNothingSeen = 4;  // exit status

Result<void> check_pids(const std::vector<uint32_t>& pids, bool functions) {
  ProcessReader reader;
  for (uint32_t pid : pids) {
    ProcessFacts facts = reader.read(pid);
    if (facts.start_ticks == 0)
      return failure(
          fmt::format("cannot trace pid {}: no such process; 'loopsight check' lists the "
                      "Python processes of this host",
                      pid));
    if (!facts.is_python)
      return failure(
          fmt::format("cannot trace pid {} ({}): {}; 'loopsight check' lists the Python "
                      "processes of this host",
                      pid, clean_text(facts.comm, 16), facts.why_not));
    auto python = functions ? reader.find_python(pid) : std::nullopt;
    if (auto why = python ? why_no_functions(python->file) : ""; !why.empty())
      return failure(
          fmt::format("cannot count the calls of pid {}: {}; leave --functions out", pid, why));
  }
  return {};
}

// What is watched and what ends it, for a person.
TraceStart start_of(const TraceConfig& config, const std::optional<Child>& child) {
  TraceStart start{.threshold_ns = config.threshold_ns};
  if (child) {
    const std::string& program = config.selection.command.front();
    start.what = fmt::format("pid {} ({}) and its children", child->pid(),
                             clean_text(program.substr(program.rfind('/') + 1), 64));
  } else if (config.selection.all) {
    start.what = "every CPython process";
  } else {
    start.what = fmt::format("pid {} and {} children", fmt::join(config.selection.pids, ", "),
                             config.selection.pids.size() == 1 ? "its" : "their");
  }
  start.end = child ? "it ends with the command" : "it ends with Ctrl-C";
  if (config.duration_ns) start.end += " or after " + format_duration(*config.duration_ns);
  return start;
}

}  // namespace

Result<int> trace(const TraceConfig& config) {
  // Before anything is looked at or started: without the rights, /proc answers wrongly.
  if (auto may = can_trace(); !may) return tl::make_unexpected(may.error());
  if (auto pids = check_pids(config.selection.pids, config.count_functions); !pids)
    return tl::make_unexpected(pids.error());
  auto reader = SourceReader::start();
  if (!reader) return tl::make_unexpected(reader.error());
  std::optional<Child> child;
  if (!config.selection.command.empty()) {
    auto caller = config.as_root ? Result<std::optional<RunAs>>(std::nullopt) : sudo_caller();
    if (!caller) return tl::make_unexpected(caller.error());
    auto forked = Child::fork(config.selection.command, *caller);
    if (!forked) return tl::make_unexpected(forked.error());
    child = std::move(*forked);
  }
  auto signals = open_signals();
  if (!signals) return tl::make_unexpected(signals.error());
  auto output = open_output(config.output, config.format);
  if (!output) return tl::make_unexpected(output.error());
  std::optional<RecordingWriter> recorder;
  if (!config.recording.empty()) {
    auto created =
        RecordingWriter::create(config.recording, {.wall_offset_ns = WallClock::current_offset_ns(),
                                                   .threshold_ns = config.threshold_ns,
                                                   .host = host_name()});
    if (!created) return tl::make_unexpected(created.error());
    recorder = std::move(*created);
  }
  auto tracer = Tracer::open({.threshold_ns = config.threshold_ns,
                              .listed_only = !config.selection.all,
                              .exact_delays = config.exact_delays,
                              .charge_records = config.selection.all,
                              .count_functions = config.count_functions});
  if (!tracer) return tl::make_unexpected(tracer.error());

  if (config.count_functions)
    spdlog::warn(
        "--functions: each call of a Python function in these interpreters traps into the kernel, "
        "about {:.1f} \u00B5s each, whoever runs them; do not leave it on",
        static_cast<double>(tracer->site_cost_ns()) / 1000);
  auto sink = make_results_sink({.format = config.format,
                                 .quiet = config.quiet,
                                 .frames = config.frames,
                                 .to_file = !config.output.empty()},
                                output->get(), WallClock::live(), host_name());
  Pipeline pipeline(config.threshold_ns, {sink.get()});
  LiveSource source(*tracer, pipeline, recorder ? &*recorder : nullptr, config.probes,
                    config.count_functions);
  source.read_sources_by(*reader);
  std::vector<RunMethodName> loops = parse_run_methods(config.loops);
  pipeline.set_code_names({.all = config.code, .of_workloads = {}, .loops = loops});
  source.know_loops(std::move(loops));
  if (child) (void)tracer->set_process(static_cast<uint32_t>(child->pid()), LS_PROCESS_UNDECIDED);
  if (auto attached = tracer->attach(); !attached) return tl::make_unexpected(attached.error());
  if (auto followed = tracer->follow_wakers(true); !followed)
    spdlog::warn("{}", followed.error().message);
  if (auto dropped = drop_privileges(child.has_value()); !dropped)
    return tl::make_unexpected(dropped.error());
  if (config.selection.all)
    if (auto scanned = source.scan(); !scanned) return tl::make_unexpected(scanned.error());
  for (uint32_t pid : config.selection.pids)
    if (auto watched = source.watch(pid); !watched) return tl::make_unexpected(watched.error());
  if (child)
    if (auto started = child->start(); !started) return tl::make_unexpected(started.error());

  if (auto told = sink->on_start(start_of(config, child)); !told)
    return tl::make_unexpected(told.error());
  uint64_t start = monotonic_now_ns();
  auto status = run_live(source, *signals, tracer->poll_fd(),
                         {.duration_ns = config.duration_ns,
                          .child = child ? &*child : nullptr,
                          .pids = config.selection.pids,
                          .every_second = {}});
  if (!status) {
    if (child) child->signal(SIGTERM);  // ours, so it does not outlive a trace that failed
    return status;
  }
  if (auto finished = pipeline.finish(monotonic_now_ns() - start, source.no_loops()); !finished)
    return tl::make_unexpected(finished.error());
  if (recorder)
    if (auto closed = recorder->close(); !closed) return tl::make_unexpected(closed.error());
  // What was asked for by name and has no loop is no success.
  bool has_found = pipeline.has_seen_loops() || config.selection.all;
  return *status == 0 && !has_found ? kNothingSeen : *status;
}

}  // namespace loopsight
