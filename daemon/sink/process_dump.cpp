#include "daemon/sink/process_dump.h"

#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <tuple>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

using Json = nlohmann::ordered_json;

std::string paint(bool color, fmt::text_style style, const std::string& text) {
  return color ? fmt::format(style, "{}", text) : text;
}

std::string counted(size_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

bool is_busy(const ThreadReport& thread) { return thread.loop && !thread.polls; }

std::string headline(const ProcessReport& report, const WallClock& clock) {
  auto count = [&](auto fits) {
    return static_cast<size_t>(std::count_if(report.threads.begin(), report.threads.end(), fits));
  };
  size_t loops = count([](const ThreadReport& one) { return one.loop.has_value(); });
  size_t blocked = count(is_busy);
  size_t python = count([](const ThreadReport& one) { return one.is_python; });
  std::string text = fmt::format(
      "pid {} {} (CPython {}) at {}: {}", report.pid, report.process.workload,
      report.process.python, format_utc(clock.realtime_ns(report.time_ns)),
      loops == 0 ? "no event loop runs"
                 : fmt::format("{} of {} busy", blocked, counted(loops, "loop", "loops")));
  text += fmt::format("; {}, {} without Python code\n",
                      counted(python, "Python thread", "Python threads"),
                      report.threads.size() - python);
  if (!report.why_no_frames.empty())
    text += fmt::format("  its frames cannot be read: {}\n", report.why_no_frames);
  if (report.has_more) text += "  it has more threads and frames than are read at once\n";
  return text;
}

// "waits for 12.4 s in recvfrom on 10.0.0.5:5432"
std::string activity(const ThreadReport& thread) {
  if (thread.activity == LS_THREAD_RUNS) return "runs";
  if (thread.activity == LS_THREAD_READY) return "waits for a CPU";
  std::string text = thread.for_ns > 0 ? fmt::format("waits for {}", format_duration(thread.for_ns))
                                       : std::string("waits");
  const auto& wait = thread.now.wait;
  if (!wait) return text;
  if (wait->cause == LS_CAUSE_PAGE_FAULT) return text + " for memory to be read";
  if (!wait->syscall.empty()) text += " in " + wait->syscall;
  if (wait->target) text += " on " + *wait->target;
  if (wait->cause == LS_CAUSE_STOPPED) text += ", stopped";
  return text;
}

std::string of_loop(const ThreadReport& thread, bool color) {
  if (!thread.loop) return "";
  std::string kind(name_of(*thread.loop));
  if (thread.polls) return fmt::format("{} loop, idle: ", kind);
  auto style = fmt::fg(fmt::terminal_color::red) | fmt::emphasis::bold;
  std::string state = thread.activity == LS_THREAD_WAITS ? "blocked" : "busy";
  return fmt::format("{} loop, {} by {}: ", kind, paint(color, style, state),
                     kCauseNames[thread.now.cause]);
}

std::string lock_of(const ThreadReport& thread) {
  std::string text;
  if (thread.has_lock) text += "; has the interpreter lock";
  if (thread.lock_holder != 0)
    text += fmt::format("; for the interpreter lock, which thread {} has", thread.lock_holder);
  if (!thread.stood_still && thread.activity == LS_THREAD_WAITS)
    text += "; it ran while it was looked at, so its frames may be of more than one moment";
  return text;
}

std::string frame_lines(const StallReport& now) {
  std::string text;
  for (size_t i = 0; i < now.frames.size(); i++) {
    if (now.frames_left_out > 0 && i == now.left_out_after)
      text += fmt::format("      … {} frames are left out here\n", now.frames_left_out);
    const Frame& frame = now.frames[i];
    text += fmt::format("      {} ({}:{})\n", frame.function, frame.file, frame.line);
  }
  if (now.frames_cut && now.frames_left_out == 0) text += "      … and more, further out\n";
  return text;
}

std::string details(const ThreadReport& thread, bool color) {
  const StallReport& now = thread.now;
  std::string text;
  if (now.culprit && now.rule != CulpritRule::kLeaf && !thread.polls) {
    text += fmt::format("    in {} ({}:{}){}{}\n", now.culprit->function, now.culprit->file,
                        now.culprit->line, now.culprit->expression.empty() ? "" : ": ",
                        now.culprit->expression);
    if (!now.task.empty() && thread.loop) text += fmt::format("    task {}\n", now.task);
  }
  if (is_busy(thread) && !now.advice.empty())
    text += fmt::format("    {}\n", paint(color, fmt::emphasis::faint, now.advice));
  return text + frame_lines(now);
}

bool is_alike(const ThreadReport& a, const ThreadReport& b) {
  auto key = [](const ThreadReport& one) {
    return std::tuple(one.is_python, one.activity, one.now.cause, one.loop, one.polls, one.has_lock,
                      one.lock_holder, one.stood_still,
                      one.now.wait ? one.now.wait->syscall : std::string());
  };
  auto same = [](const Frame& x, const Frame& y) {
    return x.function == y.function && x.file == y.file && x.line == y.line;
  };
  return key(a) == key(b) && !is_busy(a) &&
         std::equal(a.now.frames.begin(), a.now.frames.end(), b.now.frames.begin(),
                    b.now.frames.end(), same);
}

// Those of one group: "threads 12, 13 (asyncio_0, asyncio_1)".
std::string names(const std::vector<const ThreadReport*>& group) {
  constexpr size_t kShown = 8;
  std::string tids;
  std::string comms;
  for (size_t i = 0; i < group.size() && i < kShown; i++) {
    tids += fmt::format("{}{}", i == 0 ? "" : ", ", group[i]->tid);
    if (comms.find(group[i]->comm) == std::string::npos)
      comms += (comms.empty() ? "" : ", ") + group[i]->comm;
  }
  if (group.size() > kShown) tids += fmt::format(" and {} more", group.size() - kShown);
  return fmt::format("  {} {} ({})", group.size() == 1 ? "thread" : "threads", tids, comms);
}

Json thread_json(const ThreadReport& thread, const WallClock& clock, const std::string& host) {
  Json stall = stall_json(thread.now, clock, host);
  constexpr const char* kActivities[] = {"", "runs", "ready", "waits"};
  Json loop;
  if (thread.loop)
    loop = {{"kind", name_of(*thread.loop)}, {"state", thread.polls ? "idle" : "busy"}};
  bool is_known = thread.is_python && !thread.polls;
  return {{"tid", thread.tid},
          {"comm", thread.comm.empty() ? Json() : Json(thread.comm)},
          {"python", thread.is_python},
          {"loop", std::move(loop)},
          {"state", kActivities[thread.activity]},
          {"seconds", thread.for_ns > 0 ? Json(static_cast<double>(thread.for_ns) / 1e9) : Json()},
          {"cpu_seconds", static_cast<double>(thread.runtime_ns) / 1e9},
          {"cause", thread.polls ? Json() : stall["cause"]},
          {"blame", thread.polls ? Json() : stall["blame"]},
          {"wait", stall["wait"]},
          {"culprit", is_known ? stall["culprit"] : Json()},
          {"task", thread.loop && is_known ? stall["task"] : Json()},
          {"frames", stall["frames"]},
          {"frames_cut", stall["frames_cut"]},
          {"has_gil", thread.has_lock},
          {"gil_holder", stall["gil_holder"]},
          {"stood_still", thread.stood_still},
          {"advice", is_busy(thread) ? stall["advice"] : Json()}};
}

}  // namespace

std::string dump_text(const ProcessReport& report, const WallClock& clock, bool color) {
  std::string text = headline(report, clock);
  std::vector<std::vector<const ThreadReport*>> groups;
  for (const ThreadReport& thread : report.threads) {
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& one) { return is_alike(*one.front(), thread); });
    if (group == groups.end())
      groups.push_back({&thread});
    else
      group->push_back(&thread);
  }
  for (auto& group : groups) {
    std::sort(group.begin(), group.end(),
              [](const ThreadReport* a, const ThreadReport* b) { return a->tid < b->tid; });
    const ThreadReport& first = *group.front();
    text += fmt::format("{}: {}{}{}\n", names(group), of_loop(first, color), activity(first),
                        lock_of(first));
    text += details(first, color);
  }
  return text;
}

Json dump_json(const ProcessReport& report, const WallClock& clock, const std::string& host) {
  Json threads = Json::array();
  for (const ThreadReport& thread : report.threads)
    threads.push_back(thread_json(thread, clock, host));
  const WorkloadProcess& process = report.process;
  auto text = [](const std::string& value) { return value.empty() ? Json() : Json(value); };
  return {{"type", "dump"},
          {"time", format_utc(clock.realtime_ns(report.time_ns))},
          {"monotonic_ns", report.time_ns},
          {"host", host},
          {"workload", process.workload},
          {"pid", report.pid},
          {"comm", process.comm},
          {"container", text(process.container)},
          {"unit", text(process.unit)},
          {"pod", text(process.pod)},
          {"python", text(process.python)},
          {"why_no_frames", text(report.why_no_frames)},
          {"threads_cut", report.has_more},
          {"threads", std::move(threads)},
          {"workload_source", name_of(process.source)}};
}

}  // namespace loopsight
