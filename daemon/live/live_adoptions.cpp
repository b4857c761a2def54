// The part of the live source that finds loops which do not poll while it comes: they hang in a
// callback, or sleep where other loops poll. Their threads' frames, read from outside, tell them.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/event/codec.h"
#include "daemon/host/proc.h"
#include "daemon/live/live_source.h"
#include "daemon/python/running_loop.h"
#include "daemon/python/thread_states.h"

namespace loopsight {
namespace {

constexpr size_t kMostReads = 60'000;  // of one process's memory, about 50 ms
constexpr size_t kMostNamed = 500;     // stacks of one look whose names have to be read
constexpr uint64_t kFirstPauseNs = 500'000'000;
constexpr uint64_t kLongestPauseNs = 60'000'000'000;
constexpr uint64_t kBudgetNs = 20'000'000;  // before the records that came meanwhile are read

struct Seen {
  uint64_t thread_pointer = 0;
  ls_stack stack{};
  uint64_t base = 0;      // address of the outermost frame
  bool is_main = false;   // the process's first thread
  std::string loop_type;  // of the loop that asyncio says runs there, "" none
};

std::vector<Seen> read_stacks(uint32_t tgid, const ls_python& python) {
  RemoteMemory memory(tgid, kMostReads);
  std::vector<Seen> stacks;
  auto states = read_thread_states(memory, python, LS_MOST_THREADS);
  for (const ThreadState& state : states) {
    if (state.frame == 0) continue;
    FrameWalk walk = walk_moving_frames(memory, python, state);
    if (walk.frames.empty()) continue;
    // Threads are listed the newest first.
    stacks.push_back({.thread_pointer = state.thread_id,
                      .stack = to_stack(walk),
                      .base = walk.frames.back().address,
                      .is_main = state.address == states.back().address,
                      .loop_type = running_loop_type(memory, python, state.address)});
  }
  return stacks;
}

}  // namespace

// How a thread's loop is to be watched that does not poll; nothing where it polls, or has none.
std::optional<LiveSource::Adoption> LiveSource::adoption_of(
    uint32_t tgid, const ls_stack& stack, const std::vector<Frame>& frames) const {
  Adoption adoption;
  adoption.wanted.tgid = tgid;
  ls_run& run = adoption.wanted.run;
  auto loop = find_running_loop(frames, loops_);
  if (!loop || loop->method >= stack.count) return std::nullopt;
  adoption.kind = loop->kind;
  run.code = stack.frames[loop->method].code;
  run.flags = loop->greenlets ? 0 : LS_RUN_TRACKED;
  if (loop->sleeps) run.idle_code = stack.frames[idle_frame(*loop, frames)].code;
  if (!loop->polls) {
    if (loop->method > 0) run.callback_code = stack.frames[loop->method - 1].code;
    return adoption;
  }
  // Where it polls it is met when it comes back from there; where it sleeps it need not poll ever.
  if (!loop->sleeps) return std::nullopt;
  run.flags |= LS_RUN_IS_IDLE;
  return adoption;
}

LiveSource::Adoption LiveSource::adoption_of(uint32_t tgid, const HiddenLoop& loop, uint64_t base) {
  Adoption adoption{.kind = loop.kind};
  adoption.wanted.tgid = tgid;
  if (loop.in_greenlet) {
    adoption.wanted.run.flags = LS_RUN_BY_BASE;
    adoption.wanted.run.base = base;
  } else {
    adoption.wanted.native = 1;
  }
  return adoption;
}

// Whether an adopted thread still is where its frames said, so that what the kernel side took for
// the beginning of its wait is not one of a poll call that it made meanwhile. A thread that runs
// has none.
bool LiveSource::stands_still(uint32_t tgid, const ls_adopted& adopted, const ls_loop& row,
                              const ls_stack& before) {
  if (!row.off_cpu) return true;
  auto now = look_at_thread(tgid, adopted.thread_pointer);
  auto after = tracer_.read_row(adopted.row);
  if (!now || !after || after->wait.start_ns != row.wait.start_ns || after->slice_end_ns != 0)
    return false;
  return now->stack.count == before.count &&
         std::equal(before.frames, before.frames + before.count, now->stack.frames,
                    [](const ls_frame& a, const ls_frame& b) {
                      return a.code == b.code && a.offset == b.offset;
                    });
}

Result<void> LiveSource::adopt_loops(uint32_t tgid, uint64_t now_ns) {
  auto layout = layouts_.find(tgid);
  if (layout == layouts_.end() || unwatched_.contains(tgid)) return {};
  learn_asyncio(tgid, layout->second);
  auto stacks = reads_->of(tgid, [tgid, python = layout->second, root = reader_.proc_root()] {
    return std::pair(read_stacks(tgid, python), find_hiding_libraries(read_mappings(root, tgid)));
  });
  if (!stacks) return {};
  std::map<uint64_t, ls_adoption> wanted;
  std::map<uint64_t, std::pair<LoopKind, const Seen*>> found;
  size_t named = 0;
  for (const Seen& seen : stacks->first) {
    bool is_known =
        std::all_of(seen.stack.frames, seen.stack.frames + seen.stack.count,
                    [&](const ls_frame& one) { return pipeline_.knows_code(tgid, one); });
    if (!is_known && ++named > kMostNamed) continue;
    if (auto learned = learn_codes(tgid, layout->second, seen.stack); !learned) return learned;
    auto frames = resolve(tgid, seen.stack);
    auto adoption = adoption_of(tgid, seen.stack, frames);
    if (!find_running_loop(frames, loops_) && seen.stack.end == LS_STACK_COMPLETE)
      if (auto hidden = find_hidden_loop(frames, seen.loop_type, seen.is_main, stacks->second))
        adoption = adoption_of(tgid, *hidden, seen.base);
    if (!adoption || wanted.size() >= LS_MAX_ADOPTIONS) continue;
    wanted[seen.thread_pointer] = adoption->wanted;
    found[seen.thread_pointer] = {adoption->kind, &seen};
  }
  std::erase_if(wanted, [&](const auto& one) {
    return std::any_of(pointers_.begin(), pointers_.end(), [&](const auto& row) {
      return row.second.tgid == tgid && row.second.thread_pointer == one.first;
    });
  });
  if (wanted.empty()) return {};
  if (!known_.contains(tgid))
    if (auto described = describe(reader_.read(tgid), now_ns); !described) return described;
  for (const ls_adopted& one : tracer_.adopt(tgid, wanted)) {
    auto row = tracer_.read_row(one.row);
    auto kind = found.find(one.thread_pointer);
    if (!row || kind == found.end()) continue;
    if (!stands_still(tgid, one, *row, kind->second.second->stack)) {
      tracer_.set_verdict(one.row, one.generation, false, false);
      continue;
    }
    pointers_[one.row] = {
        .generation = one.generation, .tgid = tgid, .thread_pointer = one.thread_pointer};
    if (rules_)
      if (auto known = known_.find(tgid); known != known_.end())
        tracer_.set_threshold(one.row, one.generation, policy_of(known->second).threshold_ns);
    spdlog::debug("pid {} tid {}: {} that does not poll now", tgid, one.tid,
                  name_of(kind->second.first));
    pools_.watch(tgid, layout->second);
    if (auto added = show(one.row, *row, now_ns); !added) return added;
    if (auto added = add(encode(LoopVerdict{.time_ns = now_ns,
                                            .row = one.row,
                                            .generation = one.generation,
                                            .is_loop = true,
                                            .kind = kind->second.first}));
        !added)
      return added;
    (void)tracer_.sample_thread(one.row, one.tid);
  }
  return {};
}

// Looks again at the processes in which no loop was seen yet, ever more seldom.
Result<void> LiveSource::look_for_loops(uint64_t now_ns) {
  uint64_t spent_ns = 0;
  for (auto entry = searched_.begin(); entry != searched_.end();) {
    auto& [tgid, search] = *entry;
    bool is_done = !layouts_.contains(tgid) ||
                   std::any_of(pointers_.begin(), pointers_.end(),
                               [&](const auto& row) { return row.second.tgid == tgid; });
    if (is_done) {
      entry = searched_.erase(entry);
      continue;
    }
    if (now_ns >= search.next_ns && spent_ns < kBudgetNs) {
      uint64_t begin = monotonic_now_ns();
      if (auto adopted = adopt_loops(tgid, now_ns); !adopted) return adopted;
      uint64_t took = monotonic_now_ns() - begin;
      spent_ns += took;
      // At most a hundredth of the time that passes.
      search.pause_ns = std::min(std::max(search.pause_ns * 2, took * 100), kLongestPauseNs);
      search.next_ns = now_ns + search.pause_ns;
    }
    ++entry;
  }
  return {};
}

void LiveSource::search(uint32_t tgid, uint64_t first_ns) {
  constexpr size_t kMostSearched = 4096;
  if (searched_.size() < kMostSearched)
    searched_.try_emplace(tgid, Search{.next_ns = first_ns, .pause_ns = kFirstPauseNs / 2});
}

uint64_t LiveSource::next_ns() const {
  if (!questions_.empty()) return 0;
  uint64_t next = beginnings_.next_ns();
  for (const auto& [tgid, search] : searched_) next = std::min(next, search.next_ns);
  return next;
}

}  // namespace loopsight
