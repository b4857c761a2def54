// The part of the live source that reads, of a process, what its stacks name: source lines, and the
// names of the frames of a loop that still sleeps.
#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/event/codec.h"
#include "daemon/host/proc.h"
#include "daemon/live/live_source.h"
#include "daemon/python/running_tasks.h"

namespace loopsight {
namespace {

constexpr uint64_t kSourceFactor = 20;  // a twentieth of the time may go to one owner's sources

}  // namespace

// When the program of a process began, by CLOCK_REALTIME: at its exec where we saw it, else when
// the process started.
int64_t LiveSource::program_start_ns(uint32_t tgid) const {
  if (auto exec = execs_.find(tgid); exec != execs_.end()) return exec->second;
  return process_start_ns(reader_.proc_root(), tgid);
}

bool LiveSource::names_are_known(uint32_t tgid, const ls_stack& stack) const {
  return std::all_of(stack.frames, stack.frames + std::min<uint32_t>(stack.count, LS_MAX_FRAMES),
                     [&](const ls_frame& one) { return pipeline_.knows_code(tgid, one); });
}

// However many names an owner lacks, reading them takes a small part of our time.
bool LiveSource::may_learn(uint32_t tgid, uint64_t now_ns) {
  constexpr uint64_t kApartNs = 10'000'000;
  constexpr size_t kMostOwners = 4096;
  Owner owner = owners_->of(tgid);
  auto found = learned_ns_.find(owner);
  if (found != learned_ns_.end() && now_ns < found->second + kApartNs) return false;
  if (learned_ns_.size() >= kMostOwners)
    std::erase_if(learned_ns_, [&](const auto& one) { return now_ns >= one.second + kApartNs; });
  if (found == learned_ns_.end() && learned_ns_.size() >= kMostOwners) return false;
  learned_ns_[owner] = now_ns;
  return true;
}

// Names that had to go, or did not come: the kernel side is to send them with the next stack, and
// meanwhile they are read.
Result<void> LiveSource::complete_names(uint32_t tgid, const ls_stack& stack) {
  if (names_are_known(tgid, stack)) return {};
  for (uint32_t i = 0; i < std::min<uint32_t>(stack.count, LS_MAX_FRAMES); i++)
    if (const ls_frame& one = stack.frames[i]; !pipeline_.knows_code(tgid, one))
      tracer_.forget_code(tgid, one.code, one.identity);
  auto layout = layouts_.find(tgid);
  return layout == layouts_.end() ? Result<void>() : learn_codes(tgid, layout->second, stack);
}

// Reads the source lines of the two frames of a stack that a report shows by their expression.
Result<void> LiveSource::on_stack(const StackSeen& event) {
  uint32_t tgid = event.record.header.tgid;
  if (may_learn(tgid, event.record.header.time_ns))
    if (auto named = complete_names(tgid, event.record.stack); !named) return named;
  uint64_t seen_ns = event.record.source == LS_STACK_OF_WAIT ? event.record.slice_start_ns
                                                             : event.record.header.time_ns;
  auto frames = pipeline_.resolve(event);
  if (frames.empty()) return {};
  const Frame* culprit = pipeline_.find_culprit(tgid, frames);
  for (const Frame* frame : {std::as_const(frames).data(), culprit}) {
    if (!frame || frame->end_column == 0) continue;
    SourceKey key{tgid, frame->file, frame->line, frame->end_line};
    if (!sources_asked_.insert(key).second) continue;
    for (const SourceKey& gone : asked_shares_.add(key, owners_->of(tgid), 1, tgid))
      sources_asked_.erase(gone);
    Owner owner = owners_->of(tgid);
    uint64_t start = monotonic_now_ns();
    if (!may_read_source(owner, start)) {
      sources_asked_.erase(key);
      asked_shares_.remove(key);
      continue;
    }
    auto lines = source_requests_.read({.tgid = tgid,
                                        .file = frame->file,
                                        .first = frame->line,
                                        .last = frame->end_line,
                                        .seen_ns = seen_ns,
                                        .started_ns = program_start_ns(tgid)});
    sources_ns_[owner] += (monotonic_now_ns() - start) * kSourceFactor;
    if (!lines) {
      sources_asked_.erase(key);
      asked_shares_.remove(key);
    }
    if (!lines || !*lines) continue;
    SourceSeen source{.time_ns = event.record.header.time_ns,
                      .tgid = tgid,
                      .file = frame->file,
                      .line = frame->line,
                      .end_line = frame->end_line,
                      .text = std::move((*lines)->text),
                      .is_public = (*lines)->is_public};
    if (auto added = add(encode(source)); !added) return added;
  }
  return {};
}

// Says to the kernel side where asyncio keeps its running tasks, by which a stack goes on beyond a
// greenlet's.
void LiveSource::learn_running_tasks(uint32_t tgid, uint64_t thread_pointer) {
  auto layout = layouts_.find(tgid);
  if (layout == layouts_.end() || layout->second.minor >= 14 || thread_pointer == 0 ||
      layout->second.current_tasks != 0)
    return;
  auto found = reads_->of(tgid, [tgid, python = layout->second, thread_pointer] {
    constexpr size_t kMostReads = 50'000;
    return find_current_tasks(RemoteMemory(tgid, kMostReads), python, thread_pointer);
  });
  if (!found || *found == 0) return;
  layout->second.current_tasks = *found;
  tracer_.set_python(tgid, layout->second);
}

// Tells where a loop sleeps that has not come back yet, as its own thread will when it does. What
// is read of the process counts only when the thread slept all the time.
Result<void> LiveSource::catch_wait(uint32_t row, const ls_loop& loop, uint64_t now_ns) {
  auto layout = layouts_.find(loop.tgid);
  if (!loop.off_cpu || loop.slice_end_ns != 0 || layout == layouts_.end()) return {};
  Shown& shown = shown_[row];
  if (shown.caught_wait_ns == loop.wait.start_ns) return {};
  auto stack = tracer_.read_wait_stack(row);
  if (!stack || stack->count == 0 || stack->count > LS_MAX_FRAMES) {
    // It went to sleep before the kernel side could read its frames.
    auto thread = pointers_.find(row);
    if (thread == pointers_.end() || thread->second.generation != loop.generation) return {};
    auto outside = look_at_thread(loop.tgid, thread->second.thread_pointer);
    if (!outside || outside->stack.count == 0) return {};
    stack = outside->stack;
  }
  if (auto learned = learn_codes(loop.tgid, layout->second, *stack); !learned) return learned;
  auto after = tracer_.read_row(row);
  if (!after || after->generation != loop.generation || !after->off_cpu ||
      after->slice_end_ns != 0 || after->wait.start_ns != loop.wait.start_ns)
    return {};
  shown.caught_wait_ns = loop.wait.start_ns;
  StackSeen seen{};
  ls_stack_record& record = seen.record;
  record.header = {.kind = LS_KIND_STACK,
                   .size = sizeof(record),
                   .time_ns = now_ns,
                   .tgid = loop.tgid,
                   .tid = loop.tid};
  record.row = row;
  record.generation = loop.generation;
  record.phase_start_ns = loop.phase_start_ns;
  record.source = LS_STACK_OF_WAIT;
  record.slice_start_ns = loop.wait.start_ns;
  record.cause = loop.wait.cause;
  record.stack = *stack;
  if (auto added = add(std::as_bytes(std::span(&record, 1))); !added) return added;
  return on_stack(seen);
}

}  // namespace loopsight
