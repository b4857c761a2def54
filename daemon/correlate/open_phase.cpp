// The running busy phase of a loop, from the newest state of its row.
#include <algorithm>

#include "daemon/correlate/cause_times.h"
#include "daemon/correlate/timeline.h"

namespace loopsight {
namespace {

uint64_t difference(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

}  // namespace

// The running busy phase as far as it is known at `now_ns`.
Stall Timeline::open_phase(const Loop& loop, uint64_t now_ns) const {
  const ls_loop& state = loop.last;
  Stall stall{.loop = loop.id,
              .tgid = loop.tgid,
              .tid = loop.tid,
              .kind = loop.kind,
              .start_ns = state.phase_start_ns,
              .end_ns = std::max<uint64_t>(now_ns, state.phase_start_ns),
              .iteration = state.iterations + 1};
  stall.causes = cause_times(state.phase_ns, state.phase_system_ns);
  if (state.longest.duration_ns > 0) {
    stall.wait = state.longest;
    stall.kernel = state.longest_kernel;
  }
  stall.probed = state.probed;
  if (state.gc_start_ns != 0) {
    uint64_t ns = difference(now_ns, state.gc_start_ns);
    stall.probed.gc_count++;
    stall.probed.gc_ns += ns;
    if (ns >= stall.probed.gc_longest_ns) stall.probed.gc_generation = state.gc_running;
  }
  if (state.import_depth > 0) {
    uint64_t ns = difference(now_ns, state.import_start_ns);
    if (ns >= stall.probed.import_ns) {
      stall.probed.import_ns = ns;
      std::copy_n(state.importing, sizeof(state.importing), stall.probed.import_name);
    }
  }
  if (state.off_cpu && state.slice_end_ns == 0) {
    ls_wait wait = state.wait;
    wait.duration_ns = difference(now_ns, wait.start_ns);
    if (state.import_depth > 0 && !is_host_cause(wait.cause)) wait.cause = LS_CAUSE_IMPORT;
    stall.causes[wait.cause] += wait.duration_ns;
    if (!stall.wait || wait.duration_ns > stall.wait->duration_ns) {
      stall.wait = wait;
      stall.kernel = {};
      bool before = state.probed.call.time_ns <= wait.start_ns;
      stall.probed.longest_call = before ? state.probed.call : ls_call{};
    }
  } else {
    if (state.off_cpu)  // came back, not settled yet: how much of it was the run queue is open
      stall.causes[state.wait.cause] += difference(state.slice_end_ns, state.wait.start_ns);
    stall.causes[state.running_cause] += difference(now_ns, state.slice_start_ns);
  }
  balance(stall);
  return stall;
}

// The busy time that was not told yet, with that of a running busy phase that is long already, or
// that was the last one: a callback may run for hours, or until its process is killed. How much of
// that is of which cause may turn out otherwise later; the sum is right at any time.
CauseTimes Timeline::busy_of(Loop& loop, uint64_t now_ns, bool ended) const {
  CauseTimes total = cause_times(loop.last.busy_ns, loop.last.busy_system_ns);
  bool is_long =
      difference(now_ns, loop.last.phase_start_ns) >= threshold_of(loop) * kInProgressFactor;
  if (is_stalling(loop.last) && (is_long || ended)) {
    CauseTimes open = open_phase(loop, now_ns).causes;
    for (size_t i = 0; i < LS_CAUSES; i++) total[i] += open[i];
  }
  return take_new(total, loop.counted_busy_ns);
}

}  // namespace loopsight
