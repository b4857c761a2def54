#include "daemon/sink/text_sink.h"

#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

std::string paint(bool color, fmt::text_style style, const std::string& text) {
  return color ? fmt::format(style, "{}", text) : text;
}

// "sleep 98 %, cpu 2 %": the causes with at least a hundredth of the whole, the largest first.
std::string shares(const CauseTimes& causes) {
  uint64_t total = 0;
  for (uint64_t ns : causes) total += ns;
  std::vector<size_t> order;
  for (size_t i = 0; i < causes.size(); i++)
    if (total > 0 && causes[i] * 100 >= total) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return causes[a] > causes[b]; });
  std::string text;
  for (size_t i : order)
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", kCauseNames[i],
                        static_cast<double>(causes[i]) * 100 / static_cast<double>(total));
  return text;
}

std::string wait_line(const WaitReport& wait) {
  std::string text = fmt::format("waited {}", format_duration(wait.duration_ns));
  if (wait.cause == LS_CAUSE_RUN_QUEUE) return text + " for a CPU";
  if (wait.cause == LS_CAUSE_THROTTLED) return text + " for the CPU quota of its cgroup";
  if (wait.cause == LS_CAUSE_PAGE_FAULT) return text + " for memory to be read from disk";
  if (wait.cause == LS_CAUSE_STOPPED) return text + ", stopped";
  if (!wait.syscall.empty()) text += " in " + wait.syscall;
  if (wait.target) text += " on " + *wait.target;
  return text;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The culprit, or the process where frames are not readable.
std::string where(const StallReport& report) {
  if (report.culprit) {
    std::string text = fmt::format("in {} ({}:{})", report.culprit->function, report.culprit->file,
                                   report.culprit->line);
    if (!report.culprit->expression.empty()) text += ": " + report.culprit->expression;
    return text;
  }
  const std::string& python = report.process.python;
  return fmt::format("pid {} {}{}{}", report.stall.tgid, python.empty() ? "" : "python ", python,
                     python.empty() ? "" : fmt::format(" {}", name_of(report.stall.kind)));
}

// "waited 181 ms in recvfrom on 127.0.0.1:33017; the interpreter lock was held in spin (app.py:7)"
std::string what(const StallReport& report) {
  const Stall& stall = report.stall;
  std::string text = report.wait && report.wait->duration_ns * 10 >= stall.duration_ns()
                         ? wait_line(*report.wait)
                         : std::string("no single long wait");
  bool stopped = stall.wait && stall.wait->object == LS_OBJECT_STOPPED_WORLD;
  if (!report.callee.empty()) text += fmt::format(", in C function {}", report.callee);
  if (report.gil_holder && (stopped || stall.causes[LS_CAUSE_GIL] * 10 >= stall.duration_ns())) {
    const Frame* holder = find_culprit(report.gil_holder->frames);
    const char* did = stopped ? "the interpreter was stopped" : "the interpreter lock was held";
    if (holder)
      text += fmt::format("; {} in {} ({}:{})", did, holder->function, holder->file, holder->line);
  }
  if (report.call)
    text += fmt::format("; called {}{}{}", report.call->event, report.call->argument ? " " : "",
                        report.call->argument.value_or(""));
  if (report.import && stall.causes[LS_CAUSE_IMPORT] * 10 >= stall.duration_ns())
    text +=
        fmt::format("; imported {} in {}", report.import->name, format_duration(report.import->ns));
  if (report.gc && report.gc->generation && report.gc->ns * 10 >= stall.duration_ns())
    text += fmt::format("; collected {} {}, {} in all (generation {})", report.gc->count,
                        report.gc->count == 1 ? "time" : "times", format_duration(report.gc->ns),
                        *report.gc->generation);
  if (report.gil_waits && report.gil_waits->convoy)
    text += fmt::format("; the interpreter lock was waited for {} times", report.gil_waits->count);
  if (report.callbacks && report.callbacks->count > 1)
    text += fmt::format("; {} callbacks were ready, the longest took {:.0f} %",
                        report.callbacks->count, report.callbacks->largest_share * 100);
  return text;
}

// "17 sockets ready, the longest for 143 ms; a timer 143 ms late"
std::string who_waited(const std::optional<Delayed>& delayed) {
  if (!delayed) return "";
  std::string text;
  if (delayed->events > 0) {
    bool bounded = delayed->events_at_least < delayed->events;
    text = bounded ? fmt::format("{} to {}", delayed->events_at_least, delayed->events)
                   : fmt::format("{}", delayed->events);
    text += fmt::format(" {} ready, {} {}", delayed->events == 1 ? "descriptor" : "descriptors",
                        delayed->exact ? "the longest for" : "for up to",
                        format_duration(delayed->longest_ns));
  }
  if (delayed->timer_late_ns)
    text += fmt::format("{}a timer {} late", text.empty() ? "" : "; ",
                        format_duration(*delayed->timer_late_ns));
  return text;
}

// The user's frames that led to the culprit, which for awaiting coroutines is the await chain.
std::string chain(const StallReport& report) {
  constexpr size_t kMaxCallers = 6;
  std::string text;
  size_t callers = 0;
  bool passed = false;
  for (const Frame& frame : report.frames) {
    if (is_plumbing(frame)) continue;
    if (!std::exchange(passed, true)) continue;  // the culprit itself
    if (++callers > kMaxCallers) {
      text += " \xE2\x86\x90 \xE2\x80\xA6";
      break;
    }
    text += fmt::format("{}{} ({}:{})", callers == 1 ? "called by " : " \xE2\x86\x90 ",
                        frame.function, base_name(frame.file), frame.line);
  }
  if (!report.task.empty()) text += fmt::format("{}task {}", text.empty() ? "" : "; ", report.task);
  return text;
}

// "for thread 4243, which waited 181 ms in recvfrom on 10.0.0.5:5432 in fetch (app.py:12)"
std::string waited_for_line(const WaitedFor& waited_for) {
  std::string text = fmt::format("for thread {} ({})", waited_for.tid, waited_for.comm);
  if (!waited_for.wait) return text;
  text += ", which " + wait_line(*waited_for.wait);
  const Frame* frame = find_culprit(waited_for.frames);
  if (frame)
    text += fmt::format(" in {} ({}:{})", frame->function, base_name(frame->file), frame->line);
  return text;
}

// "12,345 calls: parse (app.py:12) 10,000, ..."
std::string calls(const StallReport& report) {
  constexpr size_t kShown = 5;
  std::string text = fmt::format("{} calls:", report.stall.calls);
  for (size_t i = 0; i < std::min(kShown, report.functions.size()); i++) {
    const FunctionCalls& one = report.functions[i];
    text += fmt::format("{} {} ({}:{}) {}", i == 0 ? "" : ",", one.function, base_name(one.file),
                        one.line, one.calls);
  }
  return text;
}

Result<void> write(std::FILE* out, const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size() || std::fflush(out) != 0)
    return failure(fmt::format("cannot write the results: {}", std::strerror(errno)));
  return {};
}

}  // namespace

Result<void> TextSink::on_stall(const StallReport& report) {
  const Stall& stall = report.stall;
  std::string time = format_utc(clock_.realtime_ns(stall.start_ns)).substr(11, 12);
  std::string duration = format_duration(stall.duration_ns());
  std::string verb = stall.in_progress ? "is stalled for" : "stalled for";
  if (stall.at_least) verb += " at least";
  auto style = report.host_to_blame ? fmt::fg(fmt::terminal_color::yellow)
                                    : fmt::fg(fmt::terminal_color::red) | fmt::emphasis::bold;
  std::string text =
      fmt::format("{}  {}[{}] {} {}: {}", time, report.process.workload, report.process.worker,
                  verb, paint(options_.color, style, duration), shares(stall.causes));
  if (stall.killed_by != 0) text += fmt::format(", until signal {} ended it", stall.killed_by);
  text += '\n';
  if (!options_.quiet) {
    text += fmt::format("              {}\n              {}\n", where(report), what(report));
    if (auto callers = chain(report); !callers.empty())
      text += fmt::format("              {}\n", callers);
    if (auto waiters = who_waited(stall.delayed); !waiters.empty())
      text += fmt::format("              meanwhile: {}\n", waiters);
    if (report.waited_for)
      text += fmt::format("              {}\n", waited_for_line(*report.waited_for));
    if (stall.calls > 0) text += fmt::format("              {}\n", calls(report));
    text += fmt::format("              {}\n",
                        paint(options_.color, fmt::emphasis::faint, report.advice));
  }
  return write(out_, text);
}

Result<void> TextSink::on_executor(const ExecutorReport& report) {
  const Saturation& saturation = report.saturation;
  const SeenPool& pool = saturation.pool;
  std::string time = format_utc(clock_.realtime_ns(saturation.start_ns)).substr(11, 12);
  std::string duration = format_duration(saturation.duration_ns());
  auto style = fmt::fg(fmt::terminal_color::red) | fmt::emphasis::bold;
  std::string text = fmt::format(
      "{}  {}[{}] thread pool {} {} for {}: {} of {} threads busy, {} jobs queued, the oldest for "
      "{}\n",
      time, report.process.workload, report.process.worker,
      report.pool.empty() ? "without a name" : report.pool,
      saturation.in_progress ? "is saturated" : "was saturated",
      paint(options_.color, style, duration), pool.busy, pool.max_workers.value_or(pool.threads),
      pool.queued.value_or(0), format_duration(pool.oldest_wait_ns));
  if (!options_.quiet) {
    if (report.culprit)
      text += fmt::format("              {} of them in {} ({}:{})\n", pool.alike,
                          report.culprit->function, report.culprit->file, report.culprit->line);
    text += fmt::format("              {}\n",
                        paint(options_.color, fmt::emphasis::faint, report.advice));
  }
  return write(out_, text);
}

namespace {

// Why no loop was seen: what there was, and what of it polled.
std::string nothing_seen(const Summary& summary) {
  if (summary.no_loops.empty())
    return "\nno event loop was seen: no CPython program polled in a loop meanwhile\n";
  std::string text = "\nno event loop was seen\n";
  for (const NoLoop& process : summary.no_loops) {
    text +=
        fmt::format("  pid {} {} (CPython {}): {}\n", process.pid, process.program, process.python,
                    process.pollers.empty() ? "none of its threads polled" : "what polled:");
    for (const NoLoop::Poller& poller : process.pollers) {
      text += fmt::format("    thread {} in {}: {}\n", poller.tid, poller.syscall, poller.reason);
      if (!poller.frames.empty())
        text += fmt::format("      in {} ({}:{})\n", poller.frames[0].function,
                            poller.frames[0].file, poller.frames[0].line);
    }
    if (process.more > 0) text += fmt::format("    and {} more\n", process.more);
  }
  text += "  'loops:' in loopsight.yml names the run method of a loop that is not known\n";
  return text;
}

}  // namespace

Result<void> TextSink::on_summary(const Summary& summary) {
  if (options_.quiet) return {};
  uint64_t busy = 0;
  for (uint64_t ns : summary.busy) busy += ns;
  if (summary.loops.empty()) return write(out_, nothing_seen(summary));
  std::string text = fmt::format(
      "\n{} {} in {} iterations of {} {} over {}; busy {}, idle {}\n", summary.stalls,
      summary.stalls == 1 ? "stall" : "stalls", summary.iterations, summary.loops.size(),
      summary.loops.size() == 1 ? "loop" : "loops", format_duration(summary.watched_ns),
      format_duration(busy), format_duration(summary.idle_ns));
  if (busy > 0) text += fmt::format("busy time: {}\n", shares(summary.busy));
  for (const Summary::LoopLine& loop : summary.loops) {
    uint64_t seen = loop.busy_ns + loop.idle_ns;
    text += fmt::format(
        "  {}[{}] pid {} {}: {} iterations, {} {}, {:.1f} % busy, {}\n", loop.workload, loop.worker,
        loop.pid, loop.kind, loop.iterations, loop.stalls, loop.stalls == 1 ? "stall" : "stalls",
        seen == 0 ? 0.0 : static_cast<double>(loop.busy_ns) * 100 / static_cast<double>(seen),
        name_of(condition_of(loop.load)));
  }
  if (summary.lost > 0)
    text += fmt::format("{} records were lost: the counts are right, those stalls have no line\n",
                        summary.lost);
  return write(out_, text);
}

}  // namespace loopsight
