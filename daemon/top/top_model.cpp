#include "daemon/top/top_model.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr size_t kMaxRecent = 50;  // of one loop

double positive(double value) { return std::max(value, 0.0); }

}  // namespace

void TopModel::take_stalls(const TopSample& sample, double now) {
  std::set<std::pair<uint64_t, double>> ended;
  for (const TopStall& stall : sample.stalls) {
    if (stall.in_progress) continue;
    std::pair identity(stall.tid, stall.start_ns);
    ended.insert(identity);
    // What had ended before the view began is shown but not counted.
    if (is_first_ || known_.count(identity) > 0) continue;
    stalls_++;
    History& history = histories_[{stall.workload, stall.tid}];
    history.finished.emplace_back(now, stall.seconds);
    history.stalls++;
    history.delayed_events += stall.delayed_events.value_or(0);
    history.delayed_seconds += stall.delayed_seconds;
  }
  known_ = std::move(ended);
}

TopRow TopModel::make_row(const TopLoop& loop, double now) {
  TopRow row{.loop = loop};
  History& history = histories_[{loop.workload, loop.tid}];
  Counters newest{now, loop.busy_seconds, loop.idle_seconds, loop.causes};
  // A counter that went back is of a new loop on the same thread, or of a new daemon.
  if (!history.counters.empty() && newest.busy < history.counters.back().busy)
    history.counters.clear();
  history.counters.push_back(newest);
  while (history.counters.size() > 2 && history.counters[1].time <= now - kTopWindowSeconds)
    history.counters.pop_front();
  while (!history.finished.empty() && history.finished.front().first <= now - kTopWindowSeconds)
    history.finished.pop_front();

  const Counters& oldest = history.counters.front();
  // With one look there is only what the loop did since it began.
  bool alone = history.counters.size() == 1;
  double busy = alone ? newest.busy : positive(newest.busy - oldest.busy);
  double idle = alone ? newest.idle : positive(newest.idle - oldest.idle);
  double whole = busy + idle;
  if (whole > 0) row.busy_share = busy / whole;
  double sum = 0;
  for (size_t i = 0; i < row.cause_shares.size(); i++) {
    row.cause_shares[i] = alone ? newest.causes[i] : positive(newest.causes[i] - oldest.causes[i]);
    sum += row.cause_shares[i];
  }
  for (double& share : row.cause_shares) share = sum > 0 ? share / sum * row.busy_share : 0;

  double window = std::clamp(now - began_, 1.0, kTopWindowSeconds);
  double blocked = std::min(loop.stalled_seconds, window);
  for (const auto& [seen, seconds] : history.finished) blocked += std::min(seconds, window);
  row.blocked_share = std::min(1.0, blocked / window);
  row.stalls = history.stalls;
  row.delayed_events = history.delayed_events;
  row.delayed_seconds = history.delayed_seconds;
  return row;
}

void TopModel::update(const TopSample& sample, double now) {
  if (is_first_) began_ = now;
  take_stalls(sample, now);
  std::map<Key, size_t> places;
  rows_.clear();
  for (const TopLoop& loop : sample.loops) {
    auto [entry, is_new] = places.try_emplace({loop.workload, loop.tid}, rows_.size());
    if (is_new) rows_.push_back(make_row(loop, now));
  }
  for (const TopStall& stall : sample.stalls) {
    auto place = places.find({stall.workload, stall.tid});
    if (place == places.end()) continue;
    auto& recent = rows_[place->second].recent;
    if (recent.size() < kMaxRecent) recent.push_back(stall);
  }
  std::erase_if(histories_, [&](const auto& one) { return places.count(one.first) == 0; });
  is_first_ = false;
}

}  // namespace loopsight
