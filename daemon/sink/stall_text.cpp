#include "daemon/sink/stall_text.h"

#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr const char* kIndent = "              ";

std::string paint(bool color, fmt::text_style style, const std::string& text) {
  return color ? fmt::format(style, "{}", text) : text;
}

// Where the call and its target say little, what the kernel was at.
std::string kernel_part(const WaitReport& wait) {
  constexpr size_t kShown = 3;
  bool is_told = wait.target && wait.cause != LS_CAUSE_DISK && wait.cause != LS_CAUSE_PAGE_FAULT &&
                 !wait.syscall.empty();
  bool is_plain = wait.cause == LS_CAUSE_SLEEP || wait.cause == LS_CAUSE_NETWORK ||
                  wait.cause == LS_CAUSE_SUBPROCESS || wait.cause == LS_CAUSE_GIL ||
                  (wait.cause == LS_CAUSE_LOCK && !wait.target);
  if (is_told || is_plain || wait.kernel.empty()) return "";
  std::string text;
  for (size_t i = 0; i < std::min(kShown, wait.kernel.size()); i++)
    text += (i == 0 ? "" : " \xE2\x86\x90 ") + wait.kernel[i];
  return " (kernel: " + text + ")";
}

std::string wait_line(const WaitReport& wait) {
  std::string text = fmt::format("waited {}", format_duration(wait.duration_ns));
  if (wait.cause == LS_CAUSE_RUN_QUEUE) return text + " for a CPU";
  if (wait.cause == LS_CAUSE_THROTTLED) return text + " for the CPU quota of its cgroup";
  if (wait.cause == LS_CAUSE_GIL && wait.syscall.empty()) return text + " for the interpreter lock";
  if (wait.cause == LS_CAUSE_PAGE_FAULT && !wait.target)
    return text + " for memory to be read from disk";
  if (wait.cause == LS_CAUSE_STOPPED) return text + ", stopped";
  if (!wait.syscall.empty()) text += " in " + wait.syscall;
  if (wait.target) text += (wait.syscall.empty() ? " for " : " on ") + *wait.target;
  if (wait.timed_out) text += " until its time was up";
  return text + kernel_part(wait);
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "look_up (/srv/app.py:7)"
std::string place_of(const Frame& frame) {
  return fmt::format("{} ({}:{})", frame.function, frame.file, frame.line);
}

bool is_same_place(const Frame& one, const Frame& other) {
  return one.function == other.function && one.file == other.file && one.line == other.line;
}

// Where the wait was, as far as the culprit does not say it.
std::string place_of_wait(const StallReport& report) {
  const WaitReport& wait = *report.wait;
  if (wait.cause == LS_CAUSE_RUN_QUEUE || wait.cause == LS_CAUSE_THROTTLED) return "";
  for (const auto* frame : {&wait.culprit, &wait.leaf})
    if (*frame && (!report.culprit || !is_same_place(**frame, *report.culprit)))
      return ", in " + place_of(**frame);
  return "";
}

// A bound is told as one.
std::string callbacks(const ReadyCallbacks& ready) {
  constexpr double kSure = 0.8;
  bool is_known = ready.largest_share >= kSure * ready.largest_at_most;
  double share =
      is_known ? (ready.largest_share + ready.largest_at_most) / 2 : ready.largest_at_most;
  return fmt::format("{} callbacks were ready, the longest took {}{:.0f} %", ready.count,
                     is_known ? "" : "at most ", std::ceil(share * 100));
}

// The culprit, or the process where frames are not readable.
std::string where(const StallReport& report) {
  if (report.culprit) {
    std::string text = "in " + place_of(*report.culprit);
    if (!report.culprit->expression.empty()) text += ": " + report.culprit->expression;
    return text;
  }
  const std::string& python = report.process.python;
  return fmt::format("pid {} {}{}{}", report.stall.tgid, python.empty() ? "" : "python ", python,
                     python.empty() ? "" : fmt::format(" {}", name_of(report.stall.kind)));
}

// "; the kernel ran 81 ms in clone for an address space of 5.0 GiB"
std::string system_part(const StallReport& report) {
  if (!report.system || report.system->ns * 10 < report.stall.duration_ns()) return "";
  const SystemReport& system = *report.system;
  std::string text = fmt::format("; the kernel ran {}", format_duration(system.ns));
  if (system.call == SystemReport::kPageFault)
    return text + fmt::format(" in {} page faults (minor)", system.minor_faults);
  if (!system.call.empty()) text += " in " + system.call;
  constexpr double kGibibyte = 1 << 30;
  if (system.is_fork() && system.address_space > 0)
    text += fmt::format(" for an address space of {:.1f} GiB",
                        static_cast<double>(system.address_space) / kGibibyte);
  return text;
}

// "waited 181 ms in recvfrom on 127.0.0.1:33017; the interpreter lock was held in spin (app.py:7)"
std::string what(const StallReport& report) {
  const Stall& stall = report.stall;
  std::string text = report.wait && report.wait->duration_ns * 10 >= stall.duration_ns()
                         ? wait_line(*report.wait) + place_of_wait(report)
                         : std::string("no single long wait");
  text += system_part(report);
  bool stopped = stall.wait && stall.wait->object == LS_OBJECT_STOPPED_WORLD;
  if (!report.callee.empty()) text += fmt::format(", in C function {}", report.callee);
  if (report.gil_holder && (stopped || stall.causes[LS_CAUSE_GIL] * 10 >= stall.duration_ns())) {
    const char* did = stopped ? "the interpreter was stopped" : "the interpreter lock was held";
    const GilHolder& holder = *report.gil_holder;
    if (holder.culprit < holder.frames.size())
      text += fmt::format("; {} in {}", did, place_of(holder.frames[holder.culprit]));
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
  if (report.callbacks && report.callbacks->count > 1) text += "; " + callbacks(*report.callbacks);
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

// Frames that tell something of the way to a culprit: those of the service's own code; where it has
// none, of packages; else any that is not of the standard library.
bool tells(const Frame& frame, CulpritRule rule) {
  switch (frame.whose) {
    case Whose::kOwn: return true;
    case Whose::kPackage: return rule != CulpritRule::kOwn;
    case Whose::kPlumbing: return rule == CulpritRule::kLeaf;
    default: return false;
  }
}

// The frames that led from the callback to the culprit, which for awaiting coroutines is the await
// chain; a function that was called again and again is told once.
std::string chain(const StallReport& report) {
  constexpr size_t kMaxCallers = 6;
  struct Caller {
    const Frame* frame;
    size_t times;
  };
  std::vector<Caller> callers;
  auto is_alike = [](const Frame& one, const Frame& other) {
    return one.function == other.function && one.file == other.file;
  };
  for (size_t i = report.culprit_index + 1; i < report.frames.size(); i++) {
    const Frame& frame = report.frames[i];
    if (!tells(frame, report.rule)) continue;
    auto known = std::find_if(callers.begin(), callers.end(),
                              [&](const Caller& one) { return is_alike(*one.frame, frame); });
    if (known != callers.end())
      known->times++;
    else
      callers.push_back({&frame, 1});
  }
  std::string text;
  for (size_t i = 0; i < callers.size(); i++) {
    // Of a long way the last one, which the loop called, is told always.
    if (callers.size() > kMaxCallers && i >= kMaxCallers - 1 && i + 1 < callers.size()) {
      if (i == kMaxCallers - 1) text += " \xE2\x86\x90 \xE2\x80\xA6";
      continue;
    }
    const Frame& frame = *callers[i].frame;
    text += fmt::format("{}{} ({}:{})", i == 0 ? "called by " : " \xE2\x86\x90 ", frame.function,
                        base_name(frame.file), frame.line);
    if (callers[i].times > 1) text += fmt::format(" \xC3\x97 {}", callers[i].times);
  }
  if (!report.task.empty()) text += fmt::format("{}task {}", text.empty() ? "" : "; ", report.task);
  return text;
}

// "30 % in parse (app.py:7), 25 % in store (db.py:12), …" where no single one has most of the time.
std::string contributors(const StallReport& report) {
  constexpr size_t kShown = 3;
  const auto& all = report.contributors;
  uint64_t whole = report.stall.duration_ns();
  if (all.size() < 2 || whole == 0 || all[0].ns * 2 >= whole) return "";
  std::string text;
  for (size_t i = 0; i < std::min(kShown, all.size()) && all[i].ns * 100 >= whole; i++)
    text += fmt::format("{}{:.0f} % {} in {} ({}:{})", i == 0 ? "" : ", ",
                        static_cast<double>(all[i].ns) * 100 / static_cast<double>(whole),
                        kCauseNames[all[i].cause], all[i].frame.function,
                        base_name(all[i].frame.file), all[i].frame.line);
  return text;
}

// "for thread 4243, which waited 181 ms in recvfrom on 10.0.0.5:5432 in fetch (app.py:12)"
std::string waited_for_line(const WaitedFor& waited_for) {
  std::string text = fmt::format("for thread {} ({})", waited_for.tid, waited_for.comm);
  if (waited_for.ran_ns > 0 && !waited_for.wait)
    return text + ", which ran " + format_duration(waited_for.ran_ns);
  if (!waited_for.wait) return text;
  text += ", which " + wait_line(*waited_for.wait);
  if (waited_for.culprit) {
    const Frame& frame = waited_for.frames[*waited_for.culprit];
    text += fmt::format(" in {} ({}:{})", frame.function, base_name(frame.file), frame.line);
  }
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

// The whole stack, the innermost frame first.
std::string all_frames(const StallReport& report) {
  std::string text;
  for (size_t i = 0; i < report.frames.size(); i++) {
    if (report.frames_left_out > 0 && i == report.left_out_after)
      text += fmt::format("{}  … {} frames are left out here\n", kIndent, report.frames_left_out);
    const Frame& frame = report.frames[i];
    text += fmt::format("{}  {}\n", kIndent, frame.file.empty() ? frame.function : place_of(frame));
  }
  if (report.frames_cut && report.frames_left_out == 0)
    text += fmt::format("{}  … and more, further out\n", kIndent);
  return text;
}

}  // namespace

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

std::string stall_text(const StallReport& report, const WallClock& clock,
                       const TextOptions& options) {
  const Stall& stall = report.stall;
  std::string time = format_utc(clock.realtime_ns(stall.start_ns)).substr(11, 12);
  std::string verb = stall.in_progress ? "is stalled for" : "stalled for";
  if (stall.at_least) verb += " at least";
  auto style = report.host_to_blame ? fmt::fg(fmt::terminal_color::yellow)
                                    : fmt::fg(fmt::terminal_color::red) | fmt::emphasis::bold;
  std::string text = fmt::format(
      "{}  {}[{}] {} {}: {}", time, report.process.workload, report.process.worker, verb,
      paint(options.color, style, format_duration(stall.duration_ns())), shares(stall.causes));
  if (stall.killed_by != 0) text += fmt::format(", until signal {} ended it", stall.killed_by);
  if (options.quiet) {
    text += report.culprit ? ", in " + place_of(*report.culprit) : "";
    return text + "\n" + (options.frames ? all_frames(report) : "");
  }
  text += '\n';
  auto add = [&](const std::string& line) {
    if (!line.empty()) text += kIndent + line + '\n';
  };
  add(where(report));
  add(what(report));
  add(contributors(report));
  add(chain(report));
  if (auto waiters = who_waited(stall.delayed); !waiters.empty()) add("meanwhile: " + waiters);
  if (report.waited_for) add(waited_for_line(*report.waited_for));
  if (stall.calls > 0) add(calls(report));
  add(paint(options.color, fmt::emphasis::faint, report.advice));
  if (options.frames) text += all_frames(report);
  return text;
}

}  // namespace loopsight
