// The processes that the live source knows, brought up to date: those whose end was lost, those
// that have become a CPython, and those that could not be read.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "daemon/event/codec.h"
#include "daemon/host/proc.h"
#include "daemon/live/live_source.h"

namespace loopsight {

// What was said of the program that a process ran.
void LiveSource::forget_names(uint32_t tgid) {
  begun_.erase(tgid);
  layouts_.erase(tgid);
  unwatched_.erase(tgid);
  unread_.erase(tgid);
  reads_->forget(tgid);
  pools_.forget(tgid);
  source_requests_.forget(tgid);
  auto first = sources_asked_.lower_bound({tgid, "", 0, 0});
  auto last = sources_asked_.lower_bound({tgid + 1, "", 0, 0});
  for (auto asked = first; asked != last; ++asked) asked_shares_.remove(*asked);
  sources_asked_.erase(first, last);
}

// Only of those whose parent is known to be CPython: any other is asked about as it is.
void LiveSource::on_fork(const ProcessFork& event) {
  constexpr size_t kMostForks = 65536;
  uint32_t parent = event.record.parent_tgid;
  uint32_t child = event.record.header.tgid;
  owners_->on_fork(parent, child);
  forks_.erase(child);
  if (layouts_.contains(parent) && forks_.size() < kMostForks) forks_[child] = parent;
}

// Until a forked child runs another program it is what its parent is, at the same addresses. So it
// need not be read, for which it may not live long enough. False where it is to be read.
Result<bool> LiveSource::inherit(uint32_t tgid, uint64_t now_ns) {
  auto forked = forks_.find(tgid);
  if (forked == forks_.end()) return false;
  uint32_t parent = forked->second;
  forks_.erase(forked);
  auto known = known_.find(parent);
  if (known == known_.end()) {
    known = begun_.find(parent);  // it has not polled itself yet, and may never
    if (known == begun_.end()) return false;
  }
  auto layout = layouts_.find(parent);
  if (layout == layouts_.end() || !known->second.is_python || known->second.unread) return false;
  ProcessFacts facts = known->second;
  facts.tgid = tgid;
  facts.start_ticks = read_start_ticks(reader_.proc_root(), tgid).value_or(0);
  if (!policy_of(facts).watch) return false;
  know(facts);
  refused_.on_process(facts);
  layouts_[tgid] = layout->second;
  if (facts.start_ticks != 0) {
    list_process(tgid, LS_PROCESS_PYTHON);
    tracer_.set_python(tgid, layout->second);
    source_requests_.on_process(tgid);
    probes_.on_process(tgid, policy_of(facts).audit, now_ns);
  }
  if (auto told = add(encode(facts, now_ns)); !told) return tl::make_unexpected(told.error());
  return true;
}

// Processes whose end was lost are forgotten; those that were no Python may have become one.
void LiveSource::reconcile(uint64_t now_ns) {
  last_reconcile_ns_ = now_ns;
  // In this order, so that one that begins meanwhile is not taken for one that has ended.
  std::set<uint32_t> listed = tracer_.listed_processes();
  auto pids = list_pids(reader_.proc_root());
  // Not by opening /proc/PID, which is there for a thread, too, that was given the number.
  std::set<uint32_t> alive(pids.begin(), pids.end());
  for (uint32_t pid : listed)
    if (!alive.contains(pid)) tracer_.forget_process(pid);
  std::vector<uint32_t> stale;
  std::vector<uint32_t> others;
  for (auto entry = known_.begin(); entry != known_.end();) {
    auto ticks = read_start_ticks(reader_.proc_root(), entry->first);
    if (!ticks || !alive.contains(entry->first)) {
      tracer_.forget_process(entry->first);
      forget_names(entry->first);
      probes_.on_exit(entry->first, now_ns);
      known_shares_.remove(entry->first);
      owners_->forget(entry->first);
      entry = known_.erase(entry);
      continue;
    }
    if (ticks != entry->second.start_ticks)
      stale.push_back(entry->first);
    else if (!entry->second.is_python && !entry->second.unread)
      others.push_back(entry->first);
    ++entry;
  }
  for (uint32_t tgid : stale) {
    forget_names(tgid);
    (void)describe(reader_.read(tgid), now_ns);
  }
  // Some at a time, each in its turn.
  constexpr size_t kMaxRereads = 200;
  auto next = std::upper_bound(others.begin(), others.end(), last_reread_);
  std::rotate(others.begin(), next, others.end());
  if (others.size() > kMaxRereads) others.resize(kMaxRereads);
  for (uint32_t tgid : others) {
    last_reread_ = tgid;
    ProcessFacts facts = reader_.read(tgid);
    if (facts.is_python) (void)describe(facts, now_ns);
  }
}

// Reads what could not be read, once that has come back, and has the kernel side tell again of the
// pollers that could not be judged.
void LiveSource::read_again(uint64_t now_ns) {
  last_read_again_ns_ = now_ns;
  for (uint32_t tgid : std::exchange(unread_, {})) {
    if (reads_->refuses(tgid)) {
      unread_.insert(tgid);
      continue;
    }
    unjudged_ = true;
    (void)describe(reader_.read(tgid), now_ns);
  }
  if (!std::exchange(unjudged_, false)) return;
  constexpr uint32_t kJudged = LS_LOOP_ACCEPTED | LS_LOOP_REJECTED | LS_LOOP_RELEASED;
  for (uint32_t row : tracer_.used_rows()) {
    auto loop = tracer_.read_row(row);
    if (loop && !(loop->flags & kJudged)) tracer_.ask_again(row, loop->generation);
  }
}

}  // namespace loopsight
