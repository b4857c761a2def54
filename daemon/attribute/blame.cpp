// Which part of a stall is whose.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "daemon/attribute/attributor.h"
#include "daemon/attribute/ready_callbacks.h"
#include "daemon/base/text.h"
#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

constexpr size_t kMaxContributors = 5;

bool is_readable(const std::vector<Frame>& frames) {
  return std::any_of(frames.begin(), frames.end(),
                     [](const Frame& frame) { return frame.function != kUnreadable; });
}

bool passes_through(const std::vector<Frame>& frames, std::string_view module) {
  return std::any_of(frames.begin(), frames.end(),
                     [&](const Frame& frame) { return frame.module == module; });
}

// What the kernel cannot see of a cause, the frames tell: an import, whatever it waits on, and the
// pipe of a child that the subprocess module reads.
uint32_t refine_cause(const std::vector<Frame>& frames, uint32_t cause) {
  if (is_host_cause(cause)) return cause;
  if (passes_through(frames, "importlib._bootstrap")) return LS_CAUSE_IMPORT;
  if (cause == LS_CAUSE_PIPE && passes_through(frames, "subprocess")) return LS_CAUSE_SUBPROCESS;
  return cause;
}

std::string task_name(const ls_stack& stack) {
  if (stack.task_number > 0) return fmt::format("Task-{}", stack.task_number);
  if (stack.task_length == 0) return "";
  return decode_text(stack.task_state, stack.task_length, stack.task);
}

}  // namespace

// The parts of a busy phase that are known by their frames, each with its share of the time: a wait
// its length; of the CPU time each sample its weight's part. Moves the time of those whose cause
// the frames know better to that cause; the sum stays.
std::vector<Attributor::Slice> Attributor::find_slices(StallReport& report, int minor) const {
  Stall& stall = report.stall;
  std::vector<Slice> slices;
  std::array<double, LS_CAUSES> weights{};  // as integers damaged ones could wrap
  for (const StackSample& sample : stall.samples) {
    auto frames = codes_.resolve(stall.tgid, minor, sample.stack);
    if (!is_readable(frames)) continue;
    std::optional<size_t> outside;
    if (sample.stack.outside > 0) outside = sample.stack.outside - 1;
    JudgedCode judged = judge_.judge(frames, stall.tgid, report.process.workload, outside);
    if (sample.source == LS_STACK_OF_HOLDER) {
      if (judged.culprit)
        report.gil_holder = GilHolder{
            .tid = sample.holder_tid, .frames = std::move(frames), .culprit = *judged.culprit};
      continue;
    }
    Slice slice{.sample = &sample, .frames = std::move(frames), .judged = judged};
    slice.ns = sample.slice_ns;
    slice.cause = sample.cause;
    if (sample.source == LS_STACK_OF_SAMPLE)
      weights[sample.cause] += static_cast<double>(sample.slice_ns);
    else if (stall.wait && stall.wait->start_ns == sample.slice_start_ns) {
      slice.ns = stall.wait->duration_ns;  // of a wait that goes on only this is known
      slice.cause = stall.wait->cause;
    }
    slices.push_back(std::move(slice));
  }
  const CauseTimes before = stall.causes;
  for (Slice& slice : slices) {
    uint32_t seen = slice.cause;
    if (slice.sample->source == LS_STACK_OF_SAMPLE) {
      double whole = weights[seen];
      double share = whole > 0 ? static_cast<double>(slice.ns) / whole : 0;
      slice.ns = static_cast<uint64_t>(static_cast<double>(before[seen]) * share);
      if (slice.sample->stack.flags & LS_STACK_IN_GC) slice.cause = LS_CAUSE_GC;
    }
    if (slice.cause != LS_CAUSE_GC) slice.cause = refine_cause(slice.frames, slice.cause);
    if (slice.cause == seen) continue;
    uint64_t part = std::min(slice.ns, stall.causes[seen]);
    stall.causes[seen] -= part;
    stall.causes[slice.cause] += part;
    report.moved.push_back({.from = seen, .to = slice.cause, .ns = part});
    if (stall.wait && slice.sample->source == LS_STACK_OF_WAIT &&
        stall.wait->start_ns == slice.sample->slice_start_ns)
      stall.wait->cause = slice.cause;
  }
  name_wait(slices, report);
  return slices;
}

// Says whose code the longest wait was in.
void Attributor::name_wait(const std::vector<Slice>& slices, StallReport& report) {
  if (!report.wait) return;
  for (const Slice& slice : slices) {
    if (slice.sample->source != LS_STACK_OF_WAIT ||
        slice.sample->slice_start_ns != report.stall.wait->start_ns)
      continue;
    if (slice.culprit()) report.wait->culprit = *slice.culprit();
    report.wait->leaf = slice.frames.front();
  }
}

namespace {

// The parts of a stall that one function caused, line by line.
struct Line {
  uint64_t ns = 0;
  size_t largest = 0;  // index of its slice; of equal ones, as CPU samples are, the newest
};
struct Group {
  uint64_t ns = 0;
  uint32_t cause = LS_CAUSE_CPU;
  bool in_loop = false;  // the loop's own work, with nobody's code below
  std::map<uint32_t, Line> lines;
};

// A function of the stall's own cause comes before any other, but for what the host does: that is
// where the loop stood, whatever it did. The loop's own work, which mostly stands for what it runs,
// comes after a function that had a good part of the time.
bool is_better(const Group& one, const Group& other, uint32_t cause) {
  constexpr uint64_t kPart = 10;
  bool fits = one.cause == cause;
  if (!is_host_cause(cause) && fits != (other.cause == cause)) return fits;
  if (one.in_loop != other.in_loop) {
    const Group& named = one.in_loop ? other : one;
    const Group& loop = one.in_loop ? one : other;
    bool has_part = named.ns * kPart >= loop.ns;
    if (has_part) return !one.in_loop;
  }
  return one.ns > other.ns;
}

}  // namespace

// Sums the slices by function and line, and names the function with the most time of the stall's
// own cause, on the line that had most of it.
void Attributor::name_code(const std::vector<Slice>& slices, StallReport& report) const {
  std::map<std::tuple<std::string, std::string, uint32_t>, Group> groups;  // by function and cause
  for (size_t i = 0; i < slices.size(); i++) {
    const Slice& slice = slices[i];
    const Frame* culprit = slice.culprit();
    Group& group =
        groups[{culprit ? culprit->file : "", culprit ? culprit->function : "", slice.cause}];
    group.ns += slice.ns;
    group.cause = slice.cause;
    group.in_loop = slice.judged.in_loop;
    Line& line = group.lines[culprit ? culprit->line : 0];
    line.ns += slice.ns;
    if (line.ns == slice.ns || slice.ns >= slices[line.largest].ns) line.largest = i;
  }
  const Group* chosen = nullptr;
  for (auto& [key, group] : groups) {
    if (!chosen || is_better(group, *chosen, report.cause)) chosen = &group;
    for (const auto& [number, line] : group.lines)
      if (const Frame* culprit = slices[line.largest].culprit())
        report.contributors.push_back({.frame = *culprit, .ns = line.ns, .cause = group.cause});
  }
  std::stable_sort(report.contributors.begin(), report.contributors.end(),
                   [](const Contributor& a, const Contributor& b) { return a.ns > b.ns; });
  if (report.contributors.size() > kMaxContributors) report.contributors.resize(kMaxContributors);
  report.callbacks = share_of_callbacks(report.stall);
  if (!chosen) return;
  auto line =
      std::max_element(chosen->lines.begin(), chosen->lines.end(),
                       [](const auto& a, const auto& b) { return a.second.ns < b.second.ns; });
  const Slice& slice = slices[line->second.largest];
  name_stack(slice, report);
  if (report.cause == LS_CAUSE_GIL && report.gil_holder && slice.judged.in_loop)
    blame_holder(slice, report);
}

// The loop waits for the interpreter lock between its callbacks: whoever has it is to blame.
void Attributor::blame_holder(const Slice& slice, StallReport& report) const {
  const GilHolder& holder = *report.gil_holder;
  Frame frame = holder.frames[holder.culprit];
  for (Contributor& one : report.contributors)
    if (slice.culprit() && one.cause == LS_CAUSE_GIL && one.frame.file == slice.culprit()->file &&
        one.frame.function == slice.culprit()->function)
      one.frame = frame;
  sources_.show_expression(report.stall.tgid, frame);
  report.culprit = std::move(frame);
  report.rule = CulpritRule::kHolder;
  report.culprit_index = report.frames.size();
}

// What a report tells of the stack that stands for the stall.
void Attributor::name_stack(const Slice& slice, StallReport& report) const {
  report.frames = slice.frames;
  const ls_stack& stack = slice.sample->stack;
  report.frames_cut = stack.end == LS_STACK_CUT;
  report.frames_left_out = stack.left_out;
  report.left_out_after = stack.left_out > 0 ? LS_INNER_FRAMES : 0;
  report.callee = clean_text(fixed_string(stack.callee, sizeof(stack.callee)), LS_CALLEE_SIZE);
  uint32_t tgid = report.stall.tgid;
  sources_.show_expression(tgid, report.frames.front());
  report.culprit_index = slice.judged.culprit.value_or(report.frames.size());
  report.rule = slice.judged.rule;
  if (const Frame* culprit = slice.culprit()) {
    report.culprit = *culprit;
    sources_.show_expression(tgid, *report.culprit);
  }
  report.task = task_name(stack);
  const Frame* root = find_root(slice.frames, slice.judged);
  if (report.task.empty() && root) report.task = root->function;
}

}  // namespace loopsight
