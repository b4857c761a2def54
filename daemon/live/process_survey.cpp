#include "daemon/live/process_survey.h"

#include <asm/unistd_64.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "daemon/attribute/wait_target.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/host/proc.h"
#include "daemon/python/call_arguments.h"
#include "daemon/python/process_memory.h"
#include "daemon/python/run_methods.h"
#include "daemon/python/running_loop.h"

namespace loopsight {
namespace {

constexpr size_t kMostReads = 400'000;  // of one process's memory
constexpr size_t kMostCodes = 20'000;
constexpr int kMostLooks = 3;         // until what sleeps stood still
constexpr __u64 kLibuvEvents = 1024;  // what libuv asks a poll call for (uv__io_poll, linux.c)

std::map<uint64_t, const ls_surveyed*> by_pointer(const std::vector<ls_surveyed>& kernel) {
  std::map<uint64_t, const ls_surveyed*> found;
  for (const ls_surveyed& one : kernel) found[one.thread_pointer] = &one;
  return found;
}

bool names_a_directory_first(const std::string& syscall) {
  return syscall.ends_with("at") || syscall.ends_with("at2") || syscall == "statx";
}

bool polls_as_libuv(const ls_wait& wait) {
  return (wait.syscall == __NR_epoll_pwait || wait.syscall == __NR_epoll_wait) &&
         wait.args[2] == kLibuvEvents;
}

// Busy loops first, then the other loops, then what else runs Python; of each the one first that
// has stood longest.
auto rank(const ThreadReport& thread) {
  int kind = thread.loop && !thread.polls ? 0
             : thread.loop                ? 1
             : thread.has_lock            ? 2
             : thread.is_python           ? 3
                                          : 4;
  return std::tuple(kind, UINT64_MAX - thread.for_ns, thread.tid);
}

}  // namespace

ProcessSurvey::ProcessSurvey(ThreadSurvey& threads, std::shared_ptr<SourceReader> sources,
                             std::vector<RunMethodName> loops, std::string proc_root)
    : threads_(threads),
      loops_(std::move(loops)),
      proc_root_(proc_root),
      reader_(proc_root, reads_),
      source_requests_(std::move(proc_root), reads_) {
  source_requests_.serve_by(std::move(sources));
  judge_.set_names({.all = {}, .of_workloads = {}, .loops = loops_});
}

ProcessSurvey::Memory ProcessSurvey::read_memory(uint32_t tgid, const ls_python& python,
                                                 const Kernel& kernel) {
  RemoteMemory memory(tgid, kMostReads);
  Memory found;
  auto threads = by_pointer(kernel);
  std::set<std::pair<uint64_t, uint32_t>> met;
  std::set<uint64_t> pointers;
  auto states = read_thread_states(memory, python, LS_MOST_THREADS);
  for (const ThreadState& state : states) {
    auto thread = threads.find(state.thread_id);
    // Of several interpreters in one thread one is at work.
    if (thread == threads.end() || (state.frame == 0 && pointers.contains(state.thread_id)))
      continue;
    if (!pointers.insert(state.thread_id).second)
      std::erase_if(found.threads,
                    [&](const Seen& one) { return one.state.thread_id == state.thread_id; });
    const ls_wait& wait = thread->second->wait;
    Seen seen{.state = state, .is_main = state.address == states.back().address};
    if (state.frame != 0) seen.stack = to_stack(walk_moving_frames(memory, python, state));
    seen.lock = read_interpreter_lock(memory, python, state.address);
    if (thread->second->activity == LS_THREAD_WAITS && wait.cause == LS_CAUSE_LOCK)
      seen.waits_for_lock = is_of_lock(memory, python, seen.lock, wait.args[0]);
    seen.polled_fd = polled_descriptor(memory, wait).value_or(-1);
    if (wait.object == LS_OBJECT_PATH)
      seen.path = path_argument(memory, wait, names_a_directory_first(syscall_name(wait.syscall)));
    seen.loop_type = running_loop_type(memory, python, state.address);
    for (const ls_frame& frame : std::span(seen.stack.frames, seen.stack.count)) {
      if (found.codes.size() >= kMostCodes || !met.emplace(frame.code, frame.identity).second)
        continue;
      if (auto code = read_code_object(memory, tgid, python, frame)) found.codes.push_back(*code);
    }
    found.threads.push_back(std::move(seen));
  }
  found.is_cut = memory.is_used_up() || found.codes.size() >= kMostCodes;
  return found;
}

// Looks again while a thread that sleeps has run meanwhile; the kernel's last look is `kernel`.
Result<ProcessSurvey::Memory> ProcessSurvey::read_standing(uint32_t tgid, const ls_python& python,
                                                           Kernel& kernel) {
  Memory memory;
  for (int i = 0; i < kMostLooks; i++) {
    auto before = threads_.look(tgid);
    if (!before) return tl::make_unexpected(before.error());
    auto read = reads_->of(
        tgid, [tgid, python, seen = *before] { return read_memory(tgid, python, seen); });
    if (!read)
      return failure(fmt::format(
          "cannot look at pid {}: its memory does not answer, which a page that is held back "
          "(userfaultfd, a file on a mount whose server has gone) does; /proc/{}/stack says more",
          tgid, tgid));
    memory = std::move(*read);
    auto threads = by_pointer(*before);
    std::map<uint32_t, int> polled;
    for (const Seen& seen : memory.threads)
      if (seen.polled_fd >= 0) polled[threads.at(seen.state.thread_id)->tid] = seen.polled_fd;
    auto after = threads_.look(tgid, polled);
    if (!after) return tl::make_unexpected(after.error());
    auto later = by_pointer(*after);
    bool is_whole = true;
    for (Seen& seen : memory.threads) {
      const ls_surveyed* one = threads.at(seen.state.thread_id);
      auto two = later.find(seen.state.thread_id);
      if (two == later.end()) continue;
      bool sleeps = two->second->activity == LS_THREAD_WAITS;
      seen.stood_still = sleeps && one->activity == LS_THREAD_WAITS &&
                         one->tid == two->second->tid && one->switches == two->second->switches;
      seen.got_no_cpu = two->second->activity == LS_THREAD_READY &&
                        one->activity == LS_THREAD_READY &&
                        one->runtime_ns == two->second->runtime_ns;
      is_whole = is_whole && (seen.stood_still || !sleeps) && !seen.got_no_cpu;
    }
    kernel = std::move(*after);
    if (is_whole) break;
  }
  return memory;
}

void ProcessSurvey::find_loop(ThreadReport& report, const Seen& seen, const ls_surveyed& kernel,
                              const std::vector<Frame>& frames) const {
  bool sleeps = kernel.activity == LS_THREAD_WAITS;
  if (auto loop = find_running_loop(frames, loops_)) {
    report.loop = loop->kind;
    report.polls = loop->polls && sleeps;
    return;
  }
  // Its run method has no frame.
  if (seen.stack.end != LS_STACK_COMPLETE) return;
  auto hidden = find_hidden_loop(frames, seen.loop_type, seen.is_main, libraries_);
  if (!hidden) return;
  report.loop = hidden->kind;
  report.polls = sleeps && !hidden->in_greenlet && polls_as_libuv(kernel.wait);
}

// Of the two frames that a report shows by their expression.
void ProcessSurvey::read_sources(uint32_t tgid, int minor, const Seen& seen, uint64_t now_ns) {
  auto frames = codes_.resolve(tgid, minor, seen.stack);
  if (frames.empty()) return;
  const Frame* culprit = judge_.find_culprit(frames, tgid, workloads_.find(tgid).workload);
  for (const Frame* frame : {std::as_const(frames).data(), culprit}) {
    if (!frame || frame->end_column == 0 ||
        !sources_asked_.emplace(frame->file, frame->line, frame->end_line).second)
      continue;
    auto lines = source_requests_.read({.tgid = tgid,
                                        .file = frame->file,
                                        .first = frame->line,
                                        .last = frame->end_line,
                                        .seen_ns = now_ns,
                                        .started_ns = process_start_ns(proc_root_, tgid)});
    if (!lines || !*lines) continue;
    sources_.on_source({.time_ns = now_ns,
                        .tgid = tgid,
                        .file = frame->file,
                        .line = frame->line,
                        .end_line = frame->end_line,
                        .text = std::move((*lines)->text),
                        .is_public = (*lines)->is_public});
  }
}

// What a thread does, as a stall that has lasted since it began to wait.
Stall ProcessSurvey::stall_of(uint32_t tgid, const Seen* seen, const ls_surveyed& kernel,
                              uint64_t for_ns) {
  Stall stall{.tgid = tgid,
              .tid = kernel.tid,
              .start_ns = kernel.now_ns - std::max<uint64_t>(for_ns, 1),
              .end_ns = kernel.now_ns,
              .in_progress = true,
              .at_least = true};
  bool waits = kernel.activity == LS_THREAD_WAITS;
  ls_wait wait = kernel.wait;
  wait.duration_ns = for_ns;
  if (seen && seen->waits_for_lock) wait.cause = LS_CAUSE_GIL;
  if (seen && !seen->path.empty())
    std::memcpy(wait.names, seen->path.data(), std::min(seen->path.size(), sizeof(wait.names) - 1));
  uint32_t cause = LS_CAUSE_CPU;
  if (waits)
    cause = std::min<uint32_t>(wait.cause, LS_CAUSE_UNKNOWN);
  else if (seen && seen->got_no_cpu)
    cause = LS_CAUSE_RUN_QUEUE;
  stall.causes[cause] = stall.duration_ns();
  if (waits) stall.wait = wait;
  if (!seen) return stall;
  StackSample sample{.time_ns = kernel.now_ns,
                     .source = waits ? LS_STACK_OF_WAIT : LS_STACK_OF_SAMPLE,
                     .slice_start_ns = wait.start_ns,
                     .slice_ns = stall.duration_ns(),
                     .cause = cause,
                     .stack = seen->stack};
  if (seen->has_lock() && seen->lock.is_collecting && !waits) sample.stack.flags |= LS_STACK_IN_GC;
  stall.samples.push_back(sample);
  return stall;
}

ThreadReport ProcessSurvey::report_thread(uint32_t tgid, const Seen* seen,
                                          const ls_surveyed& kernel, const ls_stack* holder,
                                          uint32_t holder_tid) {
  int minor = minor_version(workloads_.find(tgid).python);
  ThreadReport report;
  report.tid = kernel.tid;
  report.comm = clean_text(fixed_string(kernel.comm, sizeof(kernel.comm)), sizeof(kernel.comm));
  report.activity = static_cast<ls_thread_activity>(kernel.activity);
  report.runtime_ns = kernel.runtime_ns;
  report.is_python = seen != nullptr;
  report.stood_still = !seen || seen->stood_still;
  bool waits = report.activity == LS_THREAD_WAITS;
  // Who waits for the interpreter lock looks every 5 ms whether it is asked for: that tells
  // nothing.
  if (waits && !(seen && seen->waits_for_lock))
    report.for_ns = kernel.now_ns - std::min(kernel.wait.start_ns, kernel.now_ns);
  Stall stall = stall_of(tgid, seen, kernel, report.for_ns);
  if (seen) {
    report.has_lock = seen->has_lock();
    report.now.stall.tgid = tgid;
    find_loop(report, *seen, kernel, codes_.resolve(tgid, minor, seen->stack));
    stall.kind = report.loop.value_or(LoopKind::kUnknown);
    if (seen->waits_for_lock && holder) {
      report.lock_holder = holder_tid;
      stall.samples.push_back({.time_ns = kernel.now_ns,
                               .source = LS_STACK_OF_HOLDER,
                               .holder_tid = holder_tid,
                               .stack = *holder});
    }
    read_sources(tgid, minor, *seen, kernel.now_ns);
  }
  report.now = attributor_.on_stall(stall);
  return report;
}

Result<ProcessFacts> ProcessSurvey::read_facts(uint32_t tgid) {
  ProcessFacts facts = reader_.read(tgid);
  if (facts.start_ticks == 0)
    return failure(
        fmt::format("cannot look at pid {}: no such process; 'loopsight check' lists the Python "
                    "processes of this host",
                    tgid));
  if (!facts.is_python)
    return failure(
        fmt::format("cannot look at pid {} ({}): {}; 'loopsight check' lists the Python processes "
                    "of this host",
                    tgid, clean_text(facts.comm, 16), facts.why_not));
  workloads_.on_facts(facts);
  judge_.on_facts(facts);
  return facts;
}

Result<ProcessReport> ProcessSurvey::look(uint32_t tgid) {
  source_requests_.on_process(tgid);
  sources_asked_.clear();
  if (auto facts = read_facts(tgid); !facts) return tl::make_unexpected(facts.error());
  auto layout = reader_.layout(tgid);
  auto mappings = reads_->of(tgid, [root = proc_root_, tgid] { return read_mappings(root, tgid); });
  libraries_ = find_hiding_libraries(mappings.value_or(std::vector<Mapping>()));
  ProcessReport report{.pid = tgid, .process = workloads_.find(tgid)};
  Kernel kernel;
  Memory memory;
  if (layout) {
    auto read = read_standing(tgid, *layout, kernel);
    if (!read) return tl::make_unexpected(read.error());
    memory = std::move(*read);
    if (memory.threads.empty())
      report.why_no_frames = "its interpreter knows none of its threads: it begins or ends";
  } else {
    report.why_no_frames = layout.error().message;
    auto looked = threads_.look(tgid);
    if (!looked) return tl::make_unexpected(looked.error());
    kernel = std::move(*looked);
  }
  if (kernel.empty())
    return failure(fmt::format("cannot look at pid {}: it ended meanwhile", tgid));
  report.time_ns = kernel.front().now_ns;
  report.has_more = memory.is_cut;
  report_threads(tgid, memory, kernel, report);
  return report;
}

// Joins what the kernel and the interpreter tell of each thread.
void ProcessSurvey::report_threads(uint32_t tgid, const Memory& memory, const Kernel& kernel,
                                   ProcessReport& report) {
  for (const ls_code& code : memory.codes) codes_.on_code(code);
  std::map<uint64_t, const Seen*> seen;    // by thread pointer
  std::map<uint64_t, const Seen*> states;  // by address
  for (const Seen& one : memory.threads) {
    seen[one.state.thread_id] = &one;
    states[one.state.address] = &one;
  }
  auto threads = by_pointer(kernel);
  for (const ls_surveyed& one : kernel) {
    auto python = seen.find(one.thread_pointer);
    const Seen* thread =
        python != seen.end() && threads.at(one.thread_pointer) == &one ? python->second : nullptr;
    auto holder =
        thread && thread->waits_for_lock ? states.find(thread->lock.holder) : states.end();
    bool is_known = holder != states.end() && threads.contains(holder->second->state.thread_id);
    report.threads.push_back(
        report_thread(tgid, thread, one, is_known ? &holder->second->stack : nullptr,
                      is_known ? threads.at(holder->second->state.thread_id)->tid : 0));
  }
  std::sort(report.threads.begin(), report.threads.end(),
            [](const ThreadReport& a, const ThreadReport& b) { return rank(a) < rank(b); });
}

}  // namespace loopsight
