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
#include "daemon/sink/stall_text.h"

namespace loopsight {
namespace {

std::string paint(bool color, fmt::text_style style, const std::string& text) {
  return color ? fmt::format(style, "{}", text) : text;
}

Result<void> write(std::FILE* out, const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size() || std::fflush(out) != 0)
    return failure(fmt::format("cannot write the results: {}", std::strerror(errno)));
  return {};
}

}  // namespace

Result<void> TextSink::on_start(const TraceStart& start) {
  if (options_.quiet) return {};
  return write(out_, fmt::format("watching {}; a stall is a busy phase over {}; {}\n", start.what,
                                 format_duration(start.threshold_ns), start.end));
}

Result<void> TextSink::on_stall(const StallReport& report) {
  return write(out_, stall_text(report, clock_, options_));
}

Result<void> TextSink::on_congestion(const CongestionReport& report) {
  constexpr size_t kShown = 5;
  std::string time = format_utc(clock_.realtime_ns(report.start_ns)).substr(11, 12);
  auto style = fmt::fg(fmt::terminal_color::red) | fmt::emphasis::bold;
  std::string busy = fmt::format("{:.0f} %", 100 * report.busy_share());
  std::string text = fmt::format(
      "{}  {}[{}] {} busy {} of the time for {}: {}", time, report.process.workload,
      report.process.worker, report.in_progress ? "is" : "was", paint(options_.color, style, busy),
      format_duration(report.end_ns - report.start_ns), shares(report.causes));
  if (options_.quiet)
    return write(out_,
                 text +
                     (report.parts.empty()
                          ? ""
                          : fmt::format(", most in {} ({}:{})", report.parts[0].frame.function,
                                        report.parts[0].frame.file, report.parts[0].frame.line)) +
                     "\n");
  text += '\n';
  auto add = [&](const std::string& line) { text += fmt::format("              {}\n", line); };
  for (size_t i = 0; i < std::min(kShown, report.parts.size()); i++) {
    const BusyPart& part = report.parts[i];
    add(fmt::format("{:3.0f} % {} in {} ({}:{})", 100 * part.share, kCauseNames[part.cause],
                    part.frame.function, part.frame.file, part.frame.line));
  }
  std::string most = report.longest_ns > 0
                         ? fmt::format(", none longer than {}", format_duration(report.longest_ns))
                         : "";
  add(fmt::format(
      "{} iterations{}{}", report.iterations, most,
      report.callbacks > 1 ? fmt::format(", {} callbacks in the last one", report.callbacks) : ""));
  if (report.timers > 0)
    add(fmt::format("{} timers, {} late on average", report.timers,
                    format_duration(report.timers_late_ns / report.timers)));
  add(paint(options_.color, fmt::emphasis::faint, report.advice));
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
