#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "daemon/base/text.h"
#include "daemon/report/markdown.h"
#include "daemon/report/verdict.h"

namespace loopsight {
namespace {

constexpr size_t kMaxRows = 30;

double per_minute(double value, const Tally& tally) {
  double window = tally.window_seconds();
  return window > 0 ? value * 60 / window : 0;
}

// "-95 %", "+12 %", "" where there is nothing to compare with.
std::string change(double before, double after) {
  if (before <= 0) return "";
  double percent = (after - before) * 100 / before;
  return fmt::format("{}{:.0f} %",
                     percent < -0.5  ? "\xE2\x88\x92"
                     : percent > 0.5 ? "+"
                                     : "",
                     percent < 0 ? -percent : percent);
}

class Table {
 public:
  Table(const Tally& before, const Tally& after) : before_(before), after_(after) {}

  template <typename Get, typename Show>
  void row(const char* name, Get get, Show show) {
    double first = get(before_);
    double second = get(after_);
    text_ += fmt::format("| {} | {} | {} | {} |\n", name, show(first), show(second),
                         change(first, second));
  }
  const std::string& text() const { return text_; }

 private:
  const Tally& before_;
  const Tally& after_;
  std::string text_ = "| | before | after | change |\n|---|--:|--:|--:|\n";
};

std::string summary_table(const Tally& before, const Tally& after) {
  Table table(before, after);
  auto nanoseconds = [](double ns) { return format_duration(static_cast<uint64_t>(ns)); };
  auto quantile = [](double share) {
    return [share](const Tally& tally) {
      return static_cast<double>(tally.durations().quantile_ns(share));
    };
  };
  table.row("window", [](const Tally& t) { return t.window_seconds(); }, seconds_text);
  table.row(
      "stalls", [](const Tally& t) { return static_cast<double>(t.durations().count()); },
      [](double value) { return fmt::format("{:.0f}", value); });
  table.row(
      "stalls a minute",
      [](const Tally& t) { return per_minute(static_cast<double>(t.durations().count()), t); },
      [](double value) { return fmt::format("{:.1f}", value); });
  table.row(
      "stalled time a minute",
      [](const Tally& t) { return per_minute(static_cast<double>(t.durations().sum_ns()), t); },
      nanoseconds);
  table.row("median stall", quantile(0.5), nanoseconds);
  table.row("p90", quantile(0.9), nanoseconds);
  table.row("p99", quantile(0.99), nanoseconds);
  table.row(
      "longest", [](const Tally& t) { return static_cast<double>(t.durations().longest_ns()); },
      nanoseconds);
  if (before.delayed().stalls + after.delayed().stalls > 0) {
    table.row(
        "delayed events a minute", [](const Tally& t) { return per_minute(t.delayed().events, t); },
        [](double value) { return fmt::format("{:.1f}", value); });
    table.row(
        "their waits a minute", [](const Tally& t) { return per_minute(t.delayed().seconds, t); },
        seconds_text);
    table.row(
        "timers late by up to", [](const Tally& t) { return t.delayed().timer_lateness_seconds; },
        seconds_text);
  }
  return table.text();
}

struct Row {
  Tally::CulpritKey key;
  const Durations* before;
  const Durations* after;
};

std::vector<Row> rows(const Tally& before, const Tally& after) {
  static const Durations kNone;
  std::set<Tally::CulpritKey> keys;
  for (const auto& [key, one] : before.culprits()) keys.insert(key);
  for (const auto& [key, one] : after.culprits()) keys.insert(key);
  auto find = [](const Tally& tally, const Tally::CulpritKey& key) {
    auto found = tally.culprits().find(key);
    return found == tally.culprits().end() ? &kNone : &found->second.durations;
  };
  std::vector<Row> all;
  all.reserve(keys.size());
  for (const auto& key : keys) all.push_back({key, find(before, key), find(after, key)});
  std::stable_sort(all.begin(), all.end(), [](const Row& a, const Row& b) {
    return a.before->sum_ns() + a.after->sum_ns() > b.before->sum_ns() + b.after->sum_ns();
  });
  return all;
}

std::string cell(const Durations& durations) {
  if (durations.count() == 0) return "";
  return fmt::format("{} ({})", durations.count(), format_duration(durations.sum_ns()));
}

std::string headline(const Tally& before, const Tally& after) {
  uint64_t first = before.durations().count();
  uint64_t second = after.durations().count();
  double old_rate = per_minute(static_cast<double>(first), before);
  double new_rate = per_minute(static_cast<double>(second), after);
  auto verdict = compare_rates(first, before.window_seconds(), second, after.window_seconds());
  std::string rates =
      fmt::format("{:.1f} stalls a minute before, {:.1f} after", old_rate, new_rate);
  switch (verdict) {
    case Verdict::kTooFew:
      return fmt::format("**Too little data to tell**: {} before and {} after.",
                         first == 1 ? "1 stall" : fmt::format("{} stalls", first), second);
    case Verdict::kNoClearChange: return fmt::format("**No clear change**: {}.", rates);
    case Verdict::kFewer:
    case Verdict::kGone:
      return fmt::format("**Fewer stalls**: {} ({}).", rates, change(old_rate, new_rate));
    case Verdict::kMore:
    case Verdict::kNew: {
      std::string by = change(old_rate, new_rate);
      return fmt::format("**More stalls**: {}{}.", rates, by.empty() ? "" : " (" + by + ")");
    }
  }
  return "";
}

}  // namespace

std::string markdown_comparison(const NamedTally& before, const NamedTally& after) {
  const Tally& first = before.tally;
  const Tally& second = after.tally;
  std::string text =
      fmt::format("## Stalls of event loops: {} and {}\n\n{}\n\n", as_code(before.name),
                  as_code(after.name), headline(first, second));
  text += summary_table(first, second);
  auto all = rows(first, second);
  if (!all.empty())
    text +=
        "\n### Who blocked them\n\n| culprit | cause | stalls before | stalls after | |\n"
        "|---|---|--:|--:|---|\n";
  for (size_t i = 0; i < std::min(all.size(), kMaxRows); i++) {
    const Row& row = all[i];
    auto verdict = compare_rates(row.before->count(), first.window_seconds(), row.after->count(),
                                 second.window_seconds());
    text += fmt::format("| {} | {} | {} | {} | {} |\n", as_code(row.key.first), row.key.second,
                        cell(*row.before), cell(*row.after), verdict_text(verdict));
  }
  if (all.size() > kMaxRows) text += fmt::format("\n{} more rows.\n", all.size() - kMaxRows);
  text += "\n### To be read with care\n\n";
  for (const std::string& note : caveats(before, after)) text += fmt::format("- {}\n", note);
  return text;
}

}  // namespace loopsight
