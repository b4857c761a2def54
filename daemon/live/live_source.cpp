#include "daemon/live/live_source.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/attribute/audit_events.h"
#include "daemon/base/clock.h"
#include "daemon/event/codec.h"
#include "daemon/host/proc.h"
#include "daemon/sink/sink.h"

namespace loopsight {
namespace {

constexpr uint64_t kReconcileNs = 60'000'000'000;
constexpr uint64_t kReadAgainNs = 5'000'000'000;
constexpr uint64_t kShowNs = 1'000'000'000;      // how often a healthy loop's state is looked at
constexpr uint64_t kShowIdleNs = 5'000'000'000;  // and that of one that does nothing
constexpr uint64_t kFollowNs = 300'000'000'000;
constexpr uint64_t kMostOfRecordsNs = 100'000'000;  // then it is the others' turn

}  // namespace

LiveSource::LiveSource(Tracer& tracer, Pipeline& pipeline, RecordingWriter* recorder,
                       const ProbeOptions& probes, bool count_functions, std::string proc_root)
    : tracer_(tracer),
      pipeline_(pipeline),
      recorder_(recorder),
      owners_(std::make_shared<Owners>(proc_root)),
      reader_(proc_root, reads_),
      probes_(tracer, reader_, probes, count_functions),
      source_requests_(proc_root, reads_),
      pools_(std::move(proc_root), reads_),
      samples_busy_(probes.busy),
      known_shares_(tracer.sizes().processes),
      exec_shares_(tracer.sizes().processes) {
  auto owner_of = [owners = owners_](uint32_t tgid) { return owners->of(tgid); };
  reads_->charge_by(owner_of);
  pipeline_.charge_by(owner_of);
  pools_.charge_by(owner_of);
  source_requests_.charge_by(owner_of);
  probes_.charge_by(owner_of);
}

void LiveSource::know(const ProcessFacts& facts) {
  known_[facts.tgid] = facts;
  for (uint32_t gone : known_shares_.add(facts.tgid, owners_->of(facts.tgid))) known_.erase(gone);
}

// What is no Python is listed only to save it a question, so it leaves room for what is.
void LiveSource::list_process(uint32_t tgid, ls_process_state state) {
  bool may_add =
      state != LS_PROCESS_OTHER || tracer_.listed_count() < tracer_.sizes().processes / 2;
  if (!tracer_.set_process(tgid, state, may_add)) unlisted_++;
}

Result<void> LiveSource::add(std::span<const std::byte> bytes) {
  if (recorder_)
    if (auto written = recorder_->write(bytes); !written) return written;
  return pipeline_.feed(bytes);
}

// Says to the pipeline and to the kernel what a process is.
Result<void> LiveSource::describe(ProcessFacts facts, uint64_t now_ns) {
  if (auto guarded = guard_names(facts, now_ns); !guarded) return guarded;
  owners_->forget(facts.tgid);  // it may have become another user
  begun_.erase(facts.tgid);
  know(facts);
  if (facts.start_ticks == 0) return {};  // it has ended, and the kernel side has forgotten it
  if (facts.unread) {                     // as unknown as it was; so are its children
    unread_.insert(facts.tgid);
    list_process(facts.tgid, LS_PROCESS_UNDECIDED);
    return {};
  }
  bool watched = facts.is_python && policy_of(facts).watch;
  if (facts.is_python && !watched)
    unwatched_.insert(facts.tgid);
  else
    unwatched_.erase(facts.tgid);
  auto state = watched ? LS_PROCESS_PYTHON : LS_PROCESS_OTHER;
  list_process(facts.tgid, state);
  if (!facts.is_python && !facts.python.empty())
    spdlog::warn("pid {} is not watched: {}", facts.tgid, facts.why_not);
  if (!watched) return {};
  refused_.on_process(facts);
  source_requests_.on_process(facts.tgid);
  if (auto layout = reader_.layout(facts.tgid)) {
    layouts_[facts.tgid] = *layout;
    tracer_.set_python(facts.tgid, *layout);
    // What was there before us may hang already; once all are known, since a look may take long.
    if (now_ns == 0)
      search(facts.tgid, monotonic_now_ns());
    else
      search(facts.tgid, now_ns + kFirstSearchNs);
  } else {
    spdlog::debug("pid {}: frames are not read: {}", facts.tgid, layout.error().message);
  }
  probes_.on_process(facts.tgid, policy_of(facts).audit, now_ns);
  if (reads_->refuses(facts.tgid)) unread_.insert(facts.tgid);  // in part
  return add(encode(facts, now_ns));
}

Result<void> LiveSource::scan() {
  (void)tracer_.set_process(static_cast<uint32_t>(getpid()), LS_PROCESS_OTHER);
  for (uint32_t pid : list_pids(reader_.proc_root())) {
    if (pid == static_cast<uint32_t>(getpid())) continue;
    ProcessFacts facts = reader_.read(pid);
    if (facts.start_ticks == 0) continue;
    if (auto described = describe(facts, 0); !described) return described;
  }
  return {};
}

Result<void> LiveSource::watch(uint32_t tgid) {
  std::set<uint32_t> seen;
  std::vector<uint32_t> waiting = {tgid};
  while (!waiting.empty()) {
    uint32_t pid = waiting.back();
    waiting.pop_back();
    if (!seen.insert(pid).second) continue;
    ProcessFacts facts = reader_.read(pid);
    if (facts.start_ticks != 0)
      if (auto described = describe(facts, 0); !described) return described;
    for (uint32_t child : read_children(reader_.proc_root(), pid)) waiting.push_back(child);
  }
  return {};
}

Result<void> LiveSource::poll(int timeout_ms) {
  Result<void> result;
  uint64_t start = monotonic_now_ns();
  answering_ns_ = 0;
  auto polled = tracer_.poll(
      timeout_ms,
      [&](std::span<const std::byte> bytes) {
        if (auto handled = on_record(bytes); !handled) result = handled;
      },
      [&] { return monotonic_now_ns() - start > kMostOfRecordsNs; });
  if (!polled) return polled;
  return result ? answer_some() : result;
}

Result<void> LiveSource::on_record(std::span<const std::byte> bytes) {
  auto event = decode(bytes);
  if (event) {
    if (const auto* end = std::get_if<LoopEnded>(&*event)) {
      if (auto answered = answer_last_of(*end); !answered) return answered;
      const ls_loop_end& record = end->record;
      auto loop = tracer_.read_row(record.row);
      if (loop && loop->generation == record.generation) {
        // Its last sums first, then its end; then the row is free for another.
        loop->flags &= ~static_cast<__u32>(LS_LOOP_RELEASED);
        if (record.open == 0) loop->flags |= LS_LOOP_STALE;
        if (auto shown = show(record.row, *loop, record.header.time_ns); !shown) return shown;
        auto ended = add(bytes);
        // A hub that sleeps where it would poll is found by another look.
        if (loop->flags & LS_LOOP_ADOPTED) search(loop->tgid, record.header.time_ns);
        shown_.erase(record.row);
        pointers_.erase(record.row);
        tracer_.free_row(record.row);
        return ended;
      }
    }
  }
  // What of a program's memory is never shown goes no further than here, and into no recording.
  ls_stall bare_stall;
  ls_poller bare_poller;
  if (const auto* ended = event ? std::get_if<StallEnded>(&*event) : nullptr) {
    bare_stall = ended->record;
    hide_secrets(bare_stall.probed);
    if (auto told = number_kernel(bare_stall.kernel, bare_stall.end_ns); !told) return told;
    bytes = std::as_bytes(std::span(&bare_stall, 1));
  } else if (const auto* polling = event ? std::get_if<PollerSeen>(&*event) : nullptr) {
    bare_poller = polling->record;
    std::fill(std::begin(bare_poller.stack), std::end(bare_poller.stack), 0);
    bare_poller.instance = 0;
    bytes = std::as_bytes(std::span(&bare_poller, 1));
  }
  if (auto added = add(bytes); !added || !event) return added;
  if (const auto* stack = std::get_if<StackSeen>(&*event)) {
    if (stack->record.source != LS_STACK_OF_POLLER) return on_stack(*stack);
    poller_stack_ = *stack;
    return {};
  }
  if (const auto* poller = std::get_if<PollerSeen>(&*event)) return take_question(*poller);
  if (const auto* stall = std::get_if<StallEnded>(&*event)) follow_wakers(*stall);
  if (const auto* exec = std::get_if<ProcessExec>(&*event)) {
    uint32_t tgid = exec->record.header.tgid;
    // What was said of it before the exec may have reached the kernel after it.
    forget_names(tgid);
    probes_.on_exit(tgid, exec->record.header.time_ns);
    owners_->forget(tgid);
    for (uint32_t gone : exec_shares_.add(tgid, owners_->of(tgid))) execs_.erase(gone);
    // At once: the clocks of a suspended machine go apart.
    execs_[tgid] = static_cast<int64_t>(WallClock::live().realtime_ns(exec->record.header.time_ns));
    known_shares_.remove(tgid);
    if (known_.erase(tgid) > 0) (void)tracer_.set_process(tgid, LS_PROCESS_UNDECIDED);
    beginnings_.on_exec(tgid, exec->record.header.time_ns);
    forks_.erase(tgid);
    std::erase_if(forks_, [&](const auto& fork) { return fork.second == tgid; });
  } else if (const auto* fork = std::get_if<ProcessFork>(&*event)) {
    on_fork(*fork);
  } else if (const auto* exit = std::get_if<ProcessExit>(&*event)) {
    on_exit(*exit);
  }
  return {};
}

// What was said of a process may have reached the kernel side after its end.
void LiveSource::on_exit(const ProcessExit& event) {
  uint32_t tgid = event.record.header.tgid;
  if (auto known = known_.find(tgid); known != known_.end()) {
    auto ticks = read_start_ticks(reader_.proc_root(), tgid);
    if (!ticks || *ticks == known->second.start_ticks) tracer_.forget_process(tgid);
    known_.erase(known);
    known_shares_.remove(tgid);
  }
  probes_.on_exit(tgid, event.record.header.time_ns);
  forget_names(tgid);
  reader_.forget(tgid);
  execs_.erase(tgid);
  exec_shares_.remove(tgid);
  owners_->forget(tgid);
  beginnings_.on_exit(tgid);
  forks_.erase(tgid);
}

// A loop that waited for a lock may do so again: for a while it is looked at whom it waits for.
void LiveSource::follow_wakers(const StallEnded& event) {
  const ls_stall& record = event.record;
  if ((record.longest.cause != LS_CAUSE_LOCK && record.longest.object != LS_OBJECT_EVENTFD) ||
      record.longest.duration_ns < (record.end_ns - record.start_ns) / 2)
    return;
  if (follow_until_ns_ == 0 && tracer_.follows_wakers()) return;  // a trace does all the time
  follow_until_ns_ = record.end_ns + kFollowNs;
  if (auto followed = tracer_.follow_wakers(true); !followed)
    spdlog::debug("{}", followed.error().message);
}

// False where the loop's epoll descriptor has been closed: then it is not stalled but over.
bool LiveSource::is_open(const ls_loop& loop) const {
  if (loop.epoll_fd < 0) return true;
  return read_descriptor(reader_.proc_root(), loop.tgid, loop.epoll_fd) == "anon_inode:[eventpoll]";
}

// No address of the kernel goes further than here.
Result<void> LiveSource::number_kernel(ls_kernel_stack& stack, uint64_t now_ns) {
  for (const KernelFunction& function : kernel_names_.number(stack, now_ns))
    if (auto told = add(encode(function)); !told) return told;
  return {};
}

Result<void> LiveSource::show(uint32_t row, const ls_loop& loop, uint64_t now_ns) {
  LoopState state{.time_ns = now_ns, .row = row, .loop = loop};
  state.loop.wait_kernel = {};
  state.loop.throttled_rq = 0;
  state.loop.instance = 0;
  if (auto told = number_kernel(state.loop.longest_kernel, now_ns); !told) return told;
  hide_secrets(state.loop.probed);
  return add(encode(state));
}

Result<void> LiveSource::end_loop(uint32_t row, uint32_t generation, uint64_t now_ns) {
  ls_loop_end record{};
  record.header = {
      .kind = LS_KIND_LOOP_END, .size = sizeof(record), .time_ns = now_ns, .tgid = 0, .tid = 0};
  record.row = row;
  record.generation = generation;
  record.reason = LS_END_THREAD_EXIT;
  return on_record(std::as_bytes(std::span(&record, 1)));
}

Result<void> LiveSource::tick(uint64_t now_ns) {
  tracer_.tell_clocks();
  if (auto noted = note_losses(now_ns); !noted) return noted;
  for (uint32_t row : tracer_.used_rows()) {
    auto loop = tracer_.read_row(row);
    if (!loop || loop->flags & LS_LOOP_REJECTED) {
      // A rejected row whose end was lost is freed here, like any other.
      if (!loop || !(loop->flags & LS_LOOP_RELEASED)) continue;
    }
    Shown& shown = shown_[row];
    if (shown.generation != loop->generation) shown = {.generation = loop->generation};
    if (loop->flags & LS_LOOP_RELEASED) {
      // Its end may still be in the ring buffer; at the second tick it was lost.
      if (shown.released)
        if (auto ended = end_loop(row, loop->generation, now_ns); !ended) return ended;
      if (auto found = shown_.find(row); found != shown_.end()) found->second.released = true;
      continue;
    }
    if (loop->phase == LS_PHASE_BUSY && shown.left_phase_ns == loop->phase_start_ns)
      loop->phase = LS_PHASE_NONE;
    bool busy = loop->phase == LS_PHASE_BUSY && now_ns > loop->phase_start_ns;
    bool stalling = busy && now_ns - loop->phase_start_ns >= kShowNs / 20;
    if (stalling && !is_open(*loop)) {
      loop->flags |= LS_LOOP_STALE;
      stalling = false;
    }
    bool idle = shown.iterations == loop->iterations;
    note_load(row, *loop, shown, now_ns);
    bool due = now_ns >= shown.time_ns + (idle ? kShowIdleNs : kShowNs);
    if (stalling)
      if (auto caught = catch_wait(row, *loop, now_ns); !caught) return caught;
    if (!stalling && !shown.stalling && !due) continue;
    shown.iterations = loop->iterations;
    shown.time_ns = now_ns;
    shown.stalling = stalling;
    if (auto added = show(row, *loop, now_ns); !added) return added;
  }
  for (const PoolState& state : pools_.look(now_ns))
    if (auto added = add(encode(state)); !added) return added;
  if (now_ns >= last_reconcile_ns_ + kReconcileNs) reconcile(now_ns);
  if (now_ns >= last_read_again_ns_ + kReadAgainNs) read_again(now_ns);
  pipeline_.expire(now_ns);
  tracer_.sample_costs(now_ns);
  probes_.tick(now_ns);
  if (follow_until_ns_ != 0 && now_ns > follow_until_ns_) {
    (void)tracer_.follow_wakers(false);
    follow_until_ns_ = 0;
  }
  return {};
}

Result<void> LiveSource::finish(uint64_t now_ns) {
  constexpr uint64_t kMostNs = 1'000'000'000;
  Result<void> result;
  auto polled = tracer_.poll(0, [&](std::span<const std::byte> bytes) {
    if (auto handled = on_record(bytes); !handled) result = handled;
  });
  if (!polled || !result) return polled ? result : polled;
  for (uint64_t start = monotonic_now_ns(); monotonic_now_ns() - start < kMostNs;) {
    auto question = questions_.pop();
    if (!question) break;
    if (auto answered = answer(*question); !answered) return answered;
  }
  for (uint32_t row : tracer_.used_rows()) {
    auto loop = tracer_.read_row(row);
    if (!loop || loop->flags & LS_LOOP_REJECTED) continue;
    // A stall that runs when the trace ends is reported as far as it came by the ticks, not here.
    loop->flags |= LS_LOOP_STALE;
    if (auto added = show(row, *loop, now_ns); !added) return added;
  }
  return {};
}

}  // namespace loopsight
