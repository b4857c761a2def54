#include "daemon/correlate/timeline.h"

#include <algorithm>
#include <utility>

#include "daemon/correlate/cause_times.h"
#include "daemon/correlate/delayed.h"
#include "daemon/correlate/stack_samples.h"

namespace loopsight {
namespace {

constexpr uint64_t kMaxWaitForWaitersNs = 1'000'000'000;

// A busy phase that had begun before it could be seen.
bool was_found_busy(const ls_loop& state, uint64_t start_ns) {
  return state.flags & LS_LOOP_ADOPTED && start_ns <= state.created_ns;
}

uint64_t difference(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

}  // namespace

Timeline::Loop& Timeline::loop_of(LoopId id, uint32_t tgid, uint32_t tid) {
  Loop& loop = loops_[id.row];
  if (loop.id != id) {
    loop = Loop{};
    loop.id = id;
    loop.tgid = tgid;
    loop.tid = tid;
  }
  return loop;
}

Timeline::Loop* Timeline::find(LoopId id) {
  auto found = loops_.find(id.row);
  if (found == loops_.end() || found->second.id != id) {
    late_records_++;
    return nullptr;
  }
  return &found->second;
}

void Timeline::found(Loop& loop, const Stall& one, Findings& findings) {
  Stall stall = one;
  stall.kind = loop.kind;
  stall.at_least = was_found_busy(loop.last, stall.start_ns);
  if (loop.stage == Stage::kWatched)
    findings.stalls.push_back(stall);
  else if (loop.stage == Stage::kUndecided && loop.held.size() < most_held()) {
    loop.held.push_back(stall);
    held_stalls_++;
  }
}

Findings Timeline::on_poller(const PollerSeen& event) {
  const ls_poller& record = event.record;
  loop_of({record.row, record.generation}, record.header.tgid, record.header.tid);
  return {};
}

Findings Timeline::on_verdict(const LoopVerdict& event) {
  Findings findings;
  Loop* loop = find({event.row, event.generation});
  if (!loop) return findings;
  bool no_more = loop->stage == Stage::kWatched && !event.is_loop;
  loop->stage = event.is_loop ? Stage::kWatched : Stage::kIgnored;
  loop->kind = event.kind;
  for (const Stall& stall : std::exchange(loop->held, {})) found(*loop, stall, findings);
  if (event.is_loop || no_more)
    findings.progress.push_back(progress_of(*loop, event.time_ns, no_more));
  return findings;
}

Findings Timeline::on_stack(const StackSeen& event) {
  const ls_stack_record& record = event.record;
  if (record.source == LS_STACK_OF_POLLER) return {};
  Loop* loop = find({record.row, record.generation});
  if (!loop || loop->stage == Stage::kIgnored) return {};
  if (record.source == LS_STACK_OF_LOCK) {
    Findings findings;
    if (loop->stage == Stage::kWatched)
      findings.lock_waits.push_back(
          {.tgid = record.header.tgid, .ns = record.slice_ns, .holder = record.stack});
    return findings;
  }
  if (record.source == LS_STACK_OF_BUSY) {
    Findings findings;
    if (loop->stage == Stage::kWatched)
      findings.busy_samples.push_back({.loop = loop->id,
                                       .tgid = record.header.tgid,
                                       .cause = record.cause,
                                       .stack = record.stack});
    return findings;
  }
  if (loop->samples_start_ns != record.phase_start_ns) {
    loop->samples_start_ns = record.phase_start_ns;
    loop->samples.clear();
  }
  StackSample sample{.time_ns = record.header.time_ns,
                     .source = record.source,
                     .holder_tid = record.holder_tid,
                     .slice_start_ns = record.slice_start_ns,
                     .slice_ns = record.slice_ns,
                     .cause = record.cause,
                     .syscall = static_cast<int>(record.syscall_plus) - 1,
                     .stack = record.stack};
  // A wait that is told again (seen while it went on; the longest, at the end) replaces itself.
  for (StackSample& known : loop->samples) {
    if (sample.source == LS_STACK_OF_SAMPLE || known.source != sample.source ||
        known.slice_start_ns != sample.slice_start_ns)
      continue;
    known = sample;
    return {};
  }
  if (loop->samples.size() >= most_samples()) thin_out(loop->samples);
  loop->samples.push_back(sample);
  return {};
}

Findings Timeline::on_functions(const FunctionsSeen& event) {
  Loop* loop = find({event.record.row, event.record.generation});
  if (loop && loop->stage != Stage::kIgnored)
    loop->functions = std::make_unique<ls_functions>(event.record);
  return {};
}

Findings Timeline::on_waker(const WakerSeen& event) {
  constexpr size_t kMaxWakers = 64;
  Loop* loop = find({event.record.row, event.record.generation});
  if (!loop || loop->stage == Stage::kIgnored) return {};
  if (!loop->wakers.empty() && loop->wakers.back()->phase_start_ns != event.record.phase_start_ns)
    loop->wakers.clear();
  if (loop->wakers.size() < kMaxWakers)
    loop->wakers.push_back(std::make_shared<const ls_waker>(event.record));
  return {};
}

void Timeline::take_waker(Loop& loop, Stall& stall) {
  for (auto& waker : std::exchange(loop.wakers, {}))
    if (stall.wait && waker->phase_start_ns == stall.start_ns &&
        waker->slice_start_ns == stall.wait->start_ns)
      stall.waker = waker;
}

void Timeline::take_functions(Loop& loop, Stall& stall) {
  auto seen = std::exchange(loop.functions, nullptr);
  if (!seen || seen->phase_start_ns != stall.start_ns) return;
  stall.calls = seen->calls;
  for (const ls_function& function : seen->functions)
    if (function.calls > 0) stall.functions.push_back(function);
}

// Gives a stall the stacks that were seen in its busy phase.
void Timeline::take_samples(Loop& loop, Stall& stall) {
  if (loop.samples_start_ns == stall.start_ns) stall.samples = loop.samples;
}

Findings Timeline::on_stall(const StallEnded& event) {
  Findings findings;
  const ls_stall& record = event.record;
  Loop* loop = find({record.row, record.generation});
  if (!loop || loop->stage == Stage::kIgnored) return findings;
  Stall stall{.loop = loop->id,
              .tgid = record.header.tgid,
              .tid = record.header.tid,
              .start_ns = record.start_ns,
              .end_ns = record.end_ns,
              .iteration = record.iteration,
              .nested = record.nested != 0,
              .gil_waits = record.gil_waits};
  stall.causes = cause_times(record.phase_ns, record.system_ns);
  stall.minor_faults = record.minor_faults;
  stall.mapped_pages = record.mapped_pages;
  if (record.longest.duration_ns > 0) {
    stall.wait = record.longest;
    stall.kernel = record.kernel;
  }
  stall.probed = record.probed;
  take_functions(*loop, stall);
  take_waker(*loop, stall);
  if (stall.start_ns < loop->last_end_ns) {
    inconsistent_records_++;  // overlaps the one before: the record is damaged
    return findings;
  }
  if (!balance(stall)) inconsistent_records_++;
  loop->last_end_ns = stall.end_ns;
  take_samples(*loop, stall);
  loop->samples.clear();
  loop->samples.shrink_to_fit();
  if (loop->open_start_ns <= stall.start_ns) loop->open_start_ns = 0;
  release(*loop, findings);
  if (record.waiters_follow != 0)
    loop->waiting = std::move(stall);
  else
    found(*loop, stall, findings);
  return findings;
}

Findings Timeline::on_waiters(const WaitersSeen& event) {
  Findings findings;
  const ls_waiters_record& record = event.record;
  Loop* loop = find({record.row, record.generation});
  if (!loop || !loop->waiting || loop->waiting->start_ns != record.waiters.start_ns)
    return findings;
  if (loop->waiting->end_ns == record.waiters.end_ns)
    loop->waiting->delayed = delayed_of(record.waiters);
  else
    inconsistent_records_++;
  release(*loop, findings);
  return findings;
}

// Reports a stall that waits for its waiters, with them or without.
void Timeline::release(Loop& loop, Findings& findings) {
  if (loop.waiting) found(loop, *std::exchange(loop.waiting, std::nullopt), findings);
}

LoopProgress Timeline::progress_of(Loop& loop, uint64_t now_ns, bool ended) {
  const ls_loop& now = loop.last;
  const ls_loop& before = loop.counted;
  LoopProgress progress{.loop = loop.id, .tgid = loop.tgid, .tid = loop.tid, .kind = loop.kind};
  progress.iterations = difference(now.iterations, before.iterations);
  progress.polls = difference(now.polls, before.polls);
  progress.zero_polls = difference(now.zero_polls, before.zero_polls);
  // A loop may sit in one poll call for hours; that time is idle as it passes, not when it ends.
  uint64_t idle_ns = now.idle_ns;
  if (now.phase == LS_PHASE_POLL) idle_ns += difference(now_ns, now.phase_start_ns);
  progress.idle_ns = difference(idle_ns, loop.counted_idle_ns);
  loop.counted_idle_ns = std::max(idle_ns, loop.counted_idle_ns);
  progress.busy = busy_of(loop, now_ns, ended);
  for (size_t i = 0; i < LS_MAX_BUCKETS; i++)
    progress.buckets[i] = difference(now.buckets[i], before.buckets[i]);
  for (size_t i = 0; i < LS_GC_GENERATIONS; i++) {
    progress.gc_ns[i] = difference(now.gc_ns[i], before.gc_ns[i]);
    for (size_t j = 0; j < LS_MAX_BUCKETS; j++)
      progress.gc_buckets[i][j] = difference(now.gc_buckets[i][j], before.gc_buckets[i][j]);
  }
  for (size_t i = 0; i < LS_MAX_BUCKETS; i++)
    progress.late_buckets[i] = difference(now.late_buckets[i], before.late_buckets[i]);
  progress.late_ns = difference(now.late_ns, before.late_ns);
  progress.gil_waits = difference(now.gil_waits, before.gil_waits);
  progress.over_ns = difference(now.over_ns, before.over_ns);
  progress.ready = now.ready;
  progress.lost_stalls = difference(difference(now.stalls, now.stall_records),
                                    difference(before.stalls, before.stall_records));
  progress.ended = ended;
  progress.threshold_ns = threshold_of(loop);
  if (is_stalling(now)) {
    uint64_t age = difference(now_ns, now.phase_start_ns);
    if (age < threshold_of(loop)) age = 0;
    (ended ? progress.over_ns : progress.stalled_ns) += age;
  }
  loop.counted = now;
  return progress;
}

Findings Timeline::on_state(const LoopState& event) {
  Findings findings;
  const ls_loop& state = event.loop;
  Loop& loop = loop_of({event.row, state.generation}, state.tgid, state.tid);
  if (loop.stage == Stage::kIgnored) return findings;
  uint64_t watched_ns = loop.last_time_ns != 0 ? difference(event.time_ns, loop.last_time_ns) : 0;
  loop.last = state;
  loop.last_time_ns = event.time_ns;
  if (loop.waiting &&
      (state.flags & LS_LOOP_STALE || event.time_ns >= loop.waiting->end_ns + kMaxWaitForWaitersNs))
    release(loop, findings);
  if (loop.stage == Stage::kUndecided) return findings;

  LoopProgress progress = progress_of(loop, event.time_ns, false);
  progress.watched_ns = watched_ns;
  if (progress.lost_stalls > 0 && loop.open_start_ns != 0 &&
      state.phase_start_ns > loop.open_start_ns) {
    // The record of its end is among the lost ones: what nobody saw of it is unknown.
    Stall stall{.loop = loop.id,
                .tgid = loop.tgid,
                .tid = loop.tid,
                .start_ns = loop.open_start_ns,
                .end_ns = state.phase_start_ns};
    balance(stall);
    loop.open_start_ns = 0;
    progress.lost_stalls--;
    found(loop, stall, findings);
  }
  uint64_t age = is_stalling(state) ? difference(event.time_ns, state.phase_start_ns) : 0;
  // One that may last for ever already is told at once.
  bool was_found = was_found_busy(state, state.phase_start_ns);
  uint64_t long_ns = threshold_of(loop) * (was_found ? 1 : kInProgressFactor);
  if (age >= long_ns) {
    if (loop.open_start_ns != state.phase_start_ns) {
      loop.open_start_ns = state.phase_start_ns;
      loop.next_report_ns = 0;
    }
    if (age >= loop.next_report_ns) {
      loop.next_report_ns = std::max(loop.next_report_ns, long_ns) * 2;
      while (loop.next_report_ns <= age) loop.next_report_ns *= 2;
      if (was_found) loop.next_report_ns = age * 2;
      Stall stall = open_phase(loop, event.time_ns);
      stall.in_progress = true;
      take_samples(loop, stall);
      found(loop, stall, findings);
    }
  }
  findings.progress.push_back(progress);
  return findings;
}

Findings Timeline::on_end(const LoopEnded& event) {
  Findings findings;
  const ls_loop_end& record = event.record;
  Loop* loop = find({record.row, record.generation});
  if (!loop) return findings;
  release(*loop, findings);
  uint32_t signal = record.reason == LS_END_THREAD_EXIT ? record.exit_code & 0x7F : 0;
  bool was_busy = loop->last.phase == LS_PHASE_BUSY && record.open != 0;
  uint64_t age = difference(record.header.time_ns, loop->last.phase_start_ns);
  bool reported = loop->open_start_ns != 0 && loop->open_start_ns == loop->last.phase_start_ns;
  if (was_busy && age >= threshold_of(*loop) && (signal != 0 || reported)) {
    Stall stall = open_phase(*loop, record.header.time_ns);
    stall.killed_by = signal;
    take_samples(*loop, stall);
    found(*loop, stall, findings);
  } else {
    loop->last.flags |= LS_LOOP_STALE;  // what its thread did after the loop is none of the loop's
  }
  if (loop->stage == Stage::kWatched)
    findings.progress.push_back(progress_of(*loop, record.header.time_ns, true));
  loops_.erase(record.row);
  return findings;
}

Findings Timeline::on_lost(const Lost& event) {
  lost_records_ += event.records;
  return {};
}

}  // namespace loopsight
