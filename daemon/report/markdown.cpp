#include "daemon/report/markdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "daemon/base/json_fields.h"
#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxRows = 20;
constexpr size_t kMaxAdvice = 5;
constexpr size_t kMaxCell = 120;

using Culprit = std::pair<const Tally::CulpritKey, CulpritTally>;

std::vector<const Culprit*> by_time(const std::map<Tally::CulpritKey, CulpritTally>& culprits) {
  std::vector<const Culprit*> order;
  order.reserve(culprits.size());
  for (const Culprit& one : culprits) order.push_back(&one);
  std::stable_sort(order.begin(), order.end(), [](const Culprit* a, const Culprit* b) {
    return a->second.durations.sum_ns() > b->second.durations.sum_ns();
  });
  return order;
}

std::string window_text(const Tally& tally) {
  if (!tally.span()) return tally.watched_seconds() ? seconds_text(*tally.watched_seconds()) : "";
  auto utc = [](double seconds) {
    std::string text = format_utc(static_cast<uint64_t>(std::max(0.0, seconds) * 1e9));
    return text.substr(0, 10) + " " + text.substr(11, 8);
  };
  std::string text =
      fmt::format("{}, stalls from {} to {} UTC", seconds_text(tally.window_seconds()),
                  utc(tally.span()->first), utc(tally.span()->second));
  return text;
}

std::string delayed_text(const DelayedTally& delayed) {
  if (delayed.stalls == 0) return "";
  return fmt::format("{:.0f} for {}{}", delayed.events, seconds_text(delayed.seconds),
                     delayed.exact ? "" : " (bounded)");
}

void add_row(std::string& text, const std::string& name, const std::string& value) {
  if (!value.empty()) text += fmt::format("| {} | {} |\n", name, value);
}

std::string summary_table(const Tally& tally) {
  const Durations& all = tally.durations();
  double window = tally.window_seconds();
  std::string text = "| | |\n|---|---|\n";
  add_row(text, "watched", window_text(tally));
  add_row(text, "stalls",
          window > 0 ? fmt::format("{} ({:.1f} a minute)", all.count(),
                                   static_cast<double>(all.count()) * 60 / window)
                     : fmt::format("{}", all.count()));
  add_row(text, "stalled time", seconds_text(static_cast<double>(all.sum_ns()) / 1e9));
  if (all.count() > 0)
    add_row(
        text, "length of a stall",
        fmt::format("median {}, p90 {}, p99 {}, longest {}", format_duration(all.quantile_ns(0.5)),
                    format_duration(all.quantile_ns(0.9)), format_duration(all.quantile_ns(0.99)),
                    format_duration(all.longest_ns())));
  add_row(text, "delayed events", delayed_text(tally.delayed()));
  if (tally.delayed().timer_lateness_seconds > 0)
    add_row(text, "timers late by up to", seconds_text(tally.delayed().timer_lateness_seconds));
  if (const ExecutorTally& pools = tally.executors(); pools.saturations > 0)
    add_row(text, "thread pools full",
            fmt::format("{} {} for {}; at most {:.0f} jobs queued, for up to {}", pools.saturations,
                        pools.saturations == 1 ? "time" : "times", seconds_text(pools.seconds),
                        pools.most_queued, seconds_text(pools.longest_wait_seconds)));
  if (tally.host_stalls() > 0)
    add_row(text, "the host's doing, not the code's",
            fmt::format("{} stalls", tally.host_stalls()));
  double seen = tally.busy_seconds() + tally.idle_seconds();
  if (seen > 0)
    add_row(text, "iterations",
            fmt::format("{:.0f}; loops busy {:.1f} % of their time", tally.iterations(),
                        tally.busy_seconds() * 100 / seen));
  return text;
}

std::string culprit_table(const Tally& tally) {
  auto order = by_time(tally.culprits());
  bool delayed = tally.delayed().stalls > 0;
  std::string text = fmt::format(
      "\n| culprit | cause | stalls | stalled time | median | longest | {}where |\n"
      "|---|---|--:|--:|--:|--:|{}---|\n",
      delayed ? "delayed events | " : "", delayed ? "---|" : "");
  for (size_t i = 0; i < std::min(order.size(), kMaxRows); i++) {
    const auto& [key, one] = *order[i];
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {}{} |\n", as_code(key.first), key.second,
                        one.durations.count(), format_duration(one.durations.sum_ns()),
                        format_duration(one.durations.quantile_ns(0.5)),
                        format_duration(one.durations.longest_ns()),
                        delayed ? delayed_text(one.delayed) + " | " : "", as_code(one.where));
  }
  if (order.size() > kMaxRows)
    text += fmt::format("\n{} more rows, each of less time.\n", order.size() - kMaxRows);
  return text;
}

std::string cause_line(const Tally& tally) {
  std::vector<std::pair<uint64_t, std::string>> causes;
  for (const auto& [cause, durations] : tally.causes())
    causes.emplace_back(durations.sum_ns(), cause);
  std::sort(causes.rbegin(), causes.rend());
  std::string text;
  for (const auto& [ns, cause] : causes)
    text += fmt::format("{}{} {} ({})", text.empty() ? "" : ", ", cause, format_duration(ns),
                        tally.causes().at(cause).count());
  return text.empty() ? "" : "By cause, with the number of stalls: " + text + ".\n";
}

std::string loop_table(const Tally& tally) {
  std::vector<const std::pair<const Tally::LoopKey, LoopTally>*> order;
  for (const auto& one : tally.loops()) order.push_back(&one);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return a->second.stalled_ns > b->second.stalled_ns;
  });
  std::string text =
      "\n| loop | kind | Python | stalls | stalled time | iterations | busy |\n"
      "|---|---|---|--:|--:|--:|--:|\n";
  for (size_t i = 0; i < std::min(order.size(), kMaxRows); i++) {
    const auto& [key, loop] = *order[i];
    double seen = loop.busy_seconds + loop.idle_seconds;
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n",
                        as_code(fmt::format("{}[{}]", std::get<1>(key), std::get<2>(key))),
                        as_text(loop.kind), as_text(loop.python), loop.stalls,
                        format_duration(loop.stalled_ns),
                        loop.iterations > 0 ? fmt::format("{:.0f}", loop.iterations) : "",
                        seen > 0 ? fmt::format("{:.1f} %", loop.busy_seconds * 100 / seen) : "");
  }
  if (order.size() > kMaxRows)
    text += fmt::format("\n{} more loops stalled less.\n", order.size() - kMaxRows);
  return text;
}

std::string advice_list(const Tally& tally) {
  std::string text;
  size_t count = 0;
  for (const Culprit* one : by_time(tally.culprits())) {
    if (one->second.advice.empty() || count++ >= kMaxAdvice) continue;
    text += fmt::format("- {}: {}\n", as_code(one->first.first), as_text(one->second.advice));
  }
  return text;
}

}  // namespace

std::string seconds_text(double seconds) {
  seconds = std::clamp(seconds, 0.0, kMaxJsonNumber);  // sums of what anybody wrote
  if (seconds >= 120) {
    auto whole = static_cast<uint64_t>(std::llround(seconds));
    if (whole >= 7200) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
    return fmt::format("{} min {} s", whole / 60, whole % 60);
  }
  return format_duration(static_cast<uint64_t>(std::llround(seconds * 1e9)));
}

std::string as_text(const std::string& text) {
  constexpr std::string_view kSpecial = "\\`*_[]<>|&~";
  std::string escaped;
  for (char c : clean_text(text, 400)) {
    if (kSpecial.find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string as_code(const std::string& text) {
  std::string escaped;
  for (char c : clean_text(text, kMaxCell)) {
    if (c == '`')
      escaped += '\'';
    else if (c == '|')  // parts cells in a table even inside code
      escaped += "\\|";
    else
      escaped += c;
  }
  return escaped.empty() ? "" : "`" + escaped + "`";
}

std::string markdown_report(const NamedTally& one) {
  const Tally& tally = one.tally;
  std::string text = fmt::format("## Stalls of event loops: {}\n\n", as_code(one.name));
  text += summary_table(tally);
  if (tally.durations().count() > 0)
    text += "\n### Who blocked them\n\n" + cause_line(tally) + culprit_table(tally);
  if (!tally.loops().empty()) text += "\n### Which loops\n" + loop_table(tally);
  if (std::string advice = advice_list(tally); !advice.empty())
    text += "\n### What to do\n\n" + advice;
  auto notes = caveats(one);
  if (!notes.empty()) text += "\n### To be read with care\n\n";
  for (const std::string& note : notes) text += fmt::format("- {}\n", note);
  return text;
}

}  // namespace loopsight
