// The part of the live source that judges what polls: is it a loop, and how is it told later
// whether that loop runs?
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/event/codec.h"
#include "daemon/host/proc.h"
#include "daemon/live/live_source.h"
#include "daemon/python/loop_evidence.h"
#include "daemon/python/outside_stack.h"
#include "daemon/python/plumbing.h"
#include "daemon/python/process_memory.h"

namespace loopsight {
namespace {

// "select (selectors.py:469) < _run_once (…": the innermost frames, for the log.
std::string way_of(const std::vector<Frame>& frames) {
  constexpr size_t kMost = 4;
  std::string way;
  for (size_t i = 0; i < std::min(frames.size(), kMost); i++)
    way += fmt::format("{}{} ({}:{})", i == 0 ? "" : " < ", frames[i].function, frames[i].file,
                       frames[i].line);
  return way.empty() ? "no Python frames" : way;
}

}  // namespace

// From 3.14 on asyncio's own file says where it keeps things, and it is there once it is imported.
void LiveSource::learn_asyncio(uint32_t tgid, ls_python& layout) {
  if (layout.minor < 14 || layout.thread_task != LS_NO_OFFSET) return;
  auto now = reader_.layout(tgid);
  if (!now) return;
  layout.task_name = now->task_name;
  layout.thread_task = now->thread_task;
  layout.thread_loop = now->thread_loop;
}

// What is known of an interpreter only once its loop runs: where asyncio keeps its tasks, and which
// code object is _run_once, whose frame tells how many callbacks an iteration has.
void LiveSource::refine_layout(uint32_t tgid, const std::vector<Frame>& frames,
                               const ls_stack& stack) {
  auto known = layouts_.find(tgid);
  if (known == layouts_.end()) return;
  ls_python layout = known->second;
  learn_asyncio(tgid, layout);
  for (size_t i = 0; i < std::min<size_t>(frames.size(), stack.count); i++) {
    if (!is_run_once(frames[i])) continue;
    layout.run_once = stack.frames[i].code;
    break;
  }
  if (layout.run_once == known->second.run_once && layout.thread_task == known->second.thread_task)
    return;
  known->second = layout;
  tracer_.set_python(tgid, layout);
}

// Says to the kernel side how it is told whether a loop runs.
void LiveSource::track(uint32_t row, uint32_t generation, uint32_t tgid, const Judgement& judgement,
                       const std::vector<Frame>& frames, const ls_stack& stack) {
  auto known = layouts_.find(tgid);
  if (known == layouts_.end() || stack.count == 0) return;
  ls_run run{};
  if (judgement.running) {
    const RunningLoop& loop = *judgement.running;
    if (loop.outer >= stack.count) return;
    run.code = stack.frames[loop.outer].code;
    if (!loop.greenlets) run.flags = LS_RUN_TRACKED;
    if (loop.by_self) run.flags |= LS_RUN_BY_SELF;
    if (loop.sleeps) run.idle_code = stack.frames[idle_frame(loop, frames)].code;
  } else if (judgement.kind == LoopKind::kUvloop) {
    run.flags = LS_RUN_TRACKED | LS_RUN_BY_ANCHOR;
    run.thread_frame = known->second.thread_frame;
    run.cframe_frame = known->second.cframe_frame;
    run.frame_instruction = known->second.frame_instruction;
  } else {
    return;
  }
  tracer_.set_run(row, generation, run);
}

// Hands the names of a stack's code objects to the later stages, as far as they are not known.
Result<void> LiveSource::learn_codes(uint32_t tgid, const ls_python& layout,
                                     const ls_stack& stack) {
  std::vector<ls_frame> unknown;
  std::copy_if(stack.frames, stack.frames + stack.count, std::back_inserter(unknown),
               [&](const ls_frame& one) { return !pipeline_.knows_code(tgid, one); });
  if (unknown.empty()) return {};
  auto codes = reads_->of(tgid, [tgid, layout, unknown] {
    std::vector<ls_code> found;
    for (const ls_frame& frame : unknown)
      if (auto code = read_code_object(tgid, layout, frame)) found.push_back(*code);
    return found;
  });
  if (!codes) return {};
  for (const ls_code& code : *codes)
    if (auto added = add(std::as_bytes(std::span(&code, 1))); !added) return added;
  return {};
}

// The frames of a thread that made its poll call before the kernel side could read them.
std::optional<OutsideStack> LiveSource::look_at_thread(uint32_t tgid, uint64_t thread_pointer) {
  auto layout = layouts_.find(tgid);
  if (layout == layouts_.end() || thread_pointer == 0) return std::nullopt;
  auto read = reads_->of(tgid, [tgid, python = layout->second, thread_pointer] {
    constexpr size_t kMostReads = 20'000;
    return read_outside_stack(RemoteMemory(tgid, kMostReads), python, thread_pointer);
  });
  if (!read || !*read) return std::nullopt;
  if (auto learned = learn_codes(tgid, layout->second, (*read)->stack); !learned)
    return std::nullopt;
  return *read;
}

Result<void> LiveSource::on_poller(const PollerSeen& event) {
  const ls_poller& record = event.record;
  uint32_t tgid = record.header.tgid;
  auto known = known_.find(tgid);
  bool same = known != known_.end() && !known->second.unread &&
              known->second.start_ticks == read_start_ticks(reader_.proc_root(), tgid).value_or(0);
  if (!same) {
    auto inherited = inherit(tgid, record.header.time_ns);
    if (!inherited) return tl::make_unexpected(inherited.error());
    same = *inherited;
    known = known_.find(tgid);
  }
  if (!same) {
    if (auto described = describe(reader_.read(tgid), record.header.time_ns); !described)
      return described;
    known = known_.find(tgid);
  }
  auto seen = std::exchange(poller_stack_, std::nullopt);
  if (known == known_.end()) return {};
  if (known->second.unread) {
    unjudged_ = true;
    return {};
  }
  if (unwatched_.contains(tgid)) {
    if (record.borrowed) return {};
    return unwatch_loop(record.row, record.generation, record.header.time_ns);
  }
  if (rules_ && !record.borrowed)
    tracer_.set_threshold(record.row, record.generation, policy_of(known->second).threshold_ns);
  ls_stack stack{};
  if (seen && seen->record.row == record.row && seen->record.generation == record.generation)
    stack = seen->record.stack;
  return judge(event, known->second, stack);
}

Result<void> LiveSource::judge(const PollerSeen& event, const ProcessFacts& facts,
                               ls_stack& stack) {
  const ls_poller& record = event.record;
  uint32_t tgid = record.header.tgid;
  Judgement judgement;
  std::vector<Frame> frames;
  bool is_at_call = stack.count > 0;
  if (!facts.is_python) {
    judgement.reason = facts.why_not;
  } else {
    if (!is_at_call) {
      auto outside = look_at_thread(tgid, record.thread_pointer);
      if (outside && !outside->has_state)
        return refuse(event,
                      {.by_object = true, .reason = "a thread polls that runs no Python code"}, {});
      if (outside) stack = outside->stack;
      // It may have come back from its poll call meanwhile: that it is none is not to be told then.
      if (stack.count == 0 && layouts_.contains(tgid) && record.thread_pointer != 0) {
        if (!record.borrowed) tracer_.ask_again(record.row, record.generation);
        return {};
      }
    }
    if (auto named = complete_names(tgid, stack); !named) return named;
    frames = resolve(tgid, stack);
    // Most often the frames alone tell, and nothing of the process need be read, which may hang.
    if (auto own = judge_frames(frames, loops_)) {
      judgement = std::move(*own);
    } else {
      auto judged = reads_->of(tgid, [event, root = reader_.proc_root(), frames, loops = loops_] {
        return judge_poller(event, root, frames, loops);
      });
      if (!judged) {
        unjudged_ = true;
        return {};
      }
      judgement = std::move(*judged);
    }
    bool is_by_frames = !judgement.is_loop && !judgement.by_object && stack.count > 0;
    bool is_unnamed = is_by_frames && !names_are_known(tgid, stack);
    if (is_unnamed) unnamed_++;
    if (is_unnamed || (is_by_frames && !is_at_call)) {
      if (!record.borrowed) tracer_.ask_again(record.row, record.generation);
      return {};
    }
  }
  if (!judgement.is_loop) return refuse(event, judgement, frames);
  spdlog::debug("pid {} tid {}: {} ({})", tgid, record.header.tid, name_of(judgement.kind),
                judgement.reason);
  tracer_.judge_chain(tgid, record.chain, LS_CHAIN_LOOP, record.header.time_ns);
  if (record.borrowed) return {};  // its next poll call gets a row
  return accept(event, judgement, frames, stack);
}

// It is no loop's poll call. What it is of says how long that holds.
Result<void> LiveSource::refuse(const PollerSeen& event, const Judgement& judgement,
                                const std::vector<Frame>& frames) {
  const ls_poller& record = event.record;
  rejected_++;
  refused_.on_refused(event, judgement.reason, frames);
  spdlog::debug("pid {} tid {}: no loop ({}), polled by {}", record.header.tgid, record.header.tid,
                judgement.reason, way_of(frames));
  if (!judgement.by_object)
    tracer_.judge_chain(record.header.tgid, record.chain, LS_CHAIN_NO_LOOP, record.header.time_ns);
  if (record.borrowed) return {};
  tracer_.set_verdict(record.row, record.generation, false, false, judgement.by_object);
  return add(encode(LoopVerdict{.time_ns = record.header.time_ns,
                                .row = record.row,
                                .generation = record.generation,
                                .is_loop = false,
                                .kind = judgement.kind}));
}

// A loop may have been left before its first verdict came. `stack`: at its poll call, where it runs
// as long as what stands from `outer` on outwards stands as it did.
void LiveSource::check_left(uint32_t row, uint32_t generation, uint64_t thread_pointer,
                            const ls_stack& stack, size_t outer) {
  auto before = tracer_.read_row(row);
  if (!before || before->generation != generation || before->phase != LS_PHASE_BUSY) return;
  std::optional<ls_stack> now;
  if (before->off_cpu && before->slice_end_ns == 0) now = tracer_.read_wait_stack(row);
  if (!now || now->count == 0) {
    auto outside = look_at_thread(before->tgid, thread_pointer);
    if (!outside) return;
    now = outside->stack;
  }
  auto after = tracer_.read_row(row);
  if (!after || after->generation != generation || after->phase_start_ns != before->phase_start_ns)
    return;
  auto stands = stands_below(*now, stack, outer);
  spdlog::debug("pid {} tid {}: its loop {} when it was judged", before->tgid, before->tid,
                !stands   ? "may be left"
                : *stands ? "runs"
                          : "was left");
  if (stands != std::optional(false)) return;
  tracer_.disown_phase(row, generation, before->phase_start_ns);
  shown_[row] = {.generation = generation, .left_phase_ns = before->phase_start_ns};
}

Result<void> LiveSource::accept(const PollerSeen& event, const Judgement& judgement,
                                const std::vector<Frame>& frames, const ls_stack& stack) {
  const ls_poller& record = event.record;
  uint32_t tgid = record.header.tgid;
  refine_layout(tgid, frames, stack);
  track(record.row, record.generation, tgid, judgement, frames, stack);
  tracer_.set_verdict(record.row, record.generation, true, judgement.is_native);
  pointers_[record.row] = {
      .generation = record.generation, .tgid = tgid, .thread_pointer = record.thread_pointer};
  if (judgement.running || judgement.kind == LoopKind::kUvloop)
    check_left(record.row, record.generation, record.thread_pointer, stack,
               judgement.running ? judgement.running->outer : 0);
  if (auto layout = layouts_.find(tgid); layout != layouts_.end())
    pools_.watch(tgid, layout->second);
  if (auto sampled = tracer_.sample_thread(record.row, record.header.tid); !sampled)
    spdlog::debug("{}", sampled.error().message);
  auto told = add(encode(LoopVerdict{.time_ns = record.header.time_ns,
                                     .row = record.row,
                                     .generation = record.generation,
                                     .is_loop = true,
                                     .kind = judgement.kind}));
  // After what nothing can be told without: it reads much, and a program may end in a moment.
  learn_running_tasks(tgid, record.thread_pointer);
  return told;
}

std::vector<Frame> LiveSource::resolve(uint32_t tgid, const ls_stack& stack) const {
  StackSeen seen{};
  seen.record.header.tgid = tgid;
  seen.record.stack = stack;
  return pipeline_.resolve(seen);
}

// A program that has just begun is made known to the kernel side, so that it can read the frames of
// its loop's first callback; the later stages hear of it when something polls.
Result<void> LiveSource::attend(uint64_t now_ns) {
  constexpr uint64_t kMostNs = 50'000'000;
  uint64_t start = monotonic_now_ns();
  for (uint32_t tgid : beginnings_.due(now_ns)) {
    if (monotonic_now_ns() - start > kMostNs) break;  // the others are met at their poll calls
    if (known_.contains(tgid) || layouts_.contains(tgid)) {
      beginnings_.settle(tgid);
      continue;
    }
    std::string program = read_link(reader_.proc_root(), tgid, "exe");
    // Any other program is met at its first poll call.
    if (program.substr(program.rfind('/') + 1).find("python") == std::string::npos) continue;
    ProcessFacts facts = reader_.read(tgid);
    if (!facts.is_python || facts.unread || !policy_of(facts).watch) continue;
    refused_.on_process(facts);
    auto layout = reader_.layout(tgid);
    if (!layout) continue;
    layouts_[tgid] = *layout;
    begun_[tgid] = std::move(facts);
    tracer_.set_python(tgid, *layout);
    (void)tracer_.set_process(tgid, LS_PROCESS_PYTHON);
    search(tgid, now_ns + kFirstSearchNs);
    beginnings_.settle(tgid);
  }
  return look_for_loops(now_ns);
}

}  // namespace loopsight
