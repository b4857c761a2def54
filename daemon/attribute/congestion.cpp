#include "daemon/attribute/congestion.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "bpf/wire.h"

namespace loopsight {
namespace {

constexpr size_t kMaxLoops = 4096;
constexpr size_t kMaxParts = 512;  // of one loop; what is beyond is told by none
constexpr size_t kMaxShown = 10;
constexpr uint64_t kFewSamples = 20;
constexpr uint32_t kManyCallbacks = 20;
constexpr double kMost = 0.5;

uint64_t longest_of(const std::array<uint64_t, LS_MAX_BUCKETS>& buckets) {
  for (size_t i = buckets.size(); i-- > 0;)
    if (buckets[i] > 0) return i < kIterationBoundsUs.size() ? kIterationBoundsUs[i] * 1000 : 0;
  return 0;
}

std::string advice_for(const CongestionReport& report) {
  if (report.parts.empty())
    return "The loop is busy most of the time: spread the work over more processes.";
  const BusyPart& first = report.parts.front();
  bool computes = first.cause == LS_CAUSE_CPU || first.cause == LS_CAUSE_SYSTEM;
  if (is_host_cause(first.cause))
    return "The loop is kept from its CPU most of the time: see the host, not the program.";
  if (!computes && first.share >= kMost)
    return "One blocking call fills the loop, each time too short to be a stall: await an "
           "asynchronous client instead, or make the call in asyncio.to_thread.";
  if (computes && first.share >= kMost && first.lock_held < kMost)
    return "One function fills the loop, with the interpreter lock given up: asyncio.to_thread is "
           "enough to keep the loop free.";
  if (first.share >= kMost)
    return "One function fills the loop: make it cheaper, cache what it gives, or move it to a "
           "process pool.";
  if (report.callbacks >= kManyCallbacks)
    return "Many callbacks are ready at once and none of them is slow: spread the work over more "
           "processes, or limit how much is started at a time.";
  return "No single function fills the loop: it has more work than one CPU can do; spread it over "
         "more processes.";
}

}  // namespace

void CongestionWatch::Sums::add(const LoopProgress& progress) {
  idle_ns += progress.idle_ns;
  over_ns += progress.over_ns;
  iterations += progress.iterations;
  late_ns += progress.late_ns;
  for (uint64_t count : progress.late_buckets) timers += count;
  for (size_t i = 0; i < busy.size(); i++) busy[i] += progress.busy[i];
  for (size_t i = 0; i < buckets.size(); i++) buckets[i] += progress.buckets[i];
}

void CongestionWatch::Sums::add(const Sums& other) {
  idle_ns += other.idle_ns;
  over_ns += other.over_ns;
  iterations += other.iterations;
  timers += other.timers;
  late_ns += other.late_ns;
  samples += other.samples;
  for (size_t i = 0; i < busy.size(); i++) busy[i] += other.busy[i];
  for (size_t i = 0; i < buckets.size(); i++) buckets[i] += other.buckets[i];
  for (const auto& [key, part] : other.parts) {
    auto known = parts.find(key);
    if (known == parts.end()) {
      if (parts.size() < kMaxParts) parts.emplace(key, part);
      continue;
    }
    known->second.samples += part.samples;
    known->second.held += part.held;
  }
}

uint64_t CongestionWatch::Sums::busy_ns() const {
  return std::accumulate(busy.begin(), busy.end(), uint64_t{0});
}

void CongestionWatch::on_sample(const BusySample& sample, const std::vector<Frame>& frames,
                                const JudgedCode& judged) {
  auto found = loops_.find(sample.loop);
  if (found == loops_.end() || frames.empty()) return;
  Sums& window = found->second.window;
  window.samples++;
  const Frame& frame = judged.culprit ? frames[*judged.culprit] : frames.front();
  uint32_t cause = sample.stack.flags & LS_STACK_IN_GC ? uint32_t{LS_CAUSE_GC} : sample.cause;
  std::tuple key{cause, frame.file, frame.function, frame.line};
  auto known = window.parts.find(key);
  if (known == window.parts.end()) {
    if (window.parts.size() >= kMaxParts) return;
    known = window.parts.emplace(key, Part{.frame = frame}).first;
  }
  known->second.samples++;
  if (sample.stack.flags & LS_STACK_HAS_LOCK) known->second.held++;
}

// Busy, by phases most of whose time is in such as are no stalls.
bool CongestionWatch::is_congested(const Sums& window) {
  auto busy = static_cast<double>(window.busy_ns());
  double all = busy + static_cast<double>(window.idle_ns);
  return busy > 0 && busy >= all * kCongestedShare &&
         all >= static_cast<double>(kCongestionWindowNs) / 2 &&
         static_cast<double>(window.over_ns) < busy * kMost;
}

CongestionReport CongestionWatch::report(const Sums& sums, const LoopProgress& progress,
                                         const WorkloadProcess& process, uint64_t now_ns) {
  CongestionReport report{.process = process,
                          .tgid = progress.tgid,
                          .tid = progress.tid,
                          .kind = progress.kind,
                          .start_ns = sums.start_ns,
                          .end_ns = now_ns,
                          .busy_ns = sums.busy_ns(),
                          .idle_ns = sums.idle_ns,
                          .causes = sums.busy,
                          .iterations = sums.iterations,
                          .longest_ns = longest_of(sums.buckets),
                          .callbacks = progress.ready,
                          .timers = sums.timers,
                          .timers_late_ns = sums.late_ns,
                          .samples = sums.samples};
  for (const auto& [key, part] : sums.parts)
    report.parts.push_back(
        {.frame = part.frame,
         .cause = std::get<0>(key),
         .share = static_cast<double>(part.samples) / static_cast<double>(sums.samples),
         .lock_held = static_cast<double>(part.held) / static_cast<double>(part.samples)});
  std::stable_sort(report.parts.begin(), report.parts.end(),
                   [](const BusyPart& a, const BusyPart& b) { return a.share > b.share; });
  if (report.parts.size() > kMaxShown) report.parts.resize(kMaxShown);
  // A handful of samples tells nothing of shares.
  if (sums.samples < kFewSamples) report.parts.clear();
  report.advice = advice_for(report);
  return report;
}

std::optional<CongestionReport> CongestionWatch::on_progress(const LoopProgress& progress,
                                                             const WorkloadProcess& process,
                                                             uint64_t now_ns) {
  auto found = loops_.find(progress.loop);
  if (found == loops_.end()) {
    if (progress.ended || loops_.size() >= kMaxLoops) return std::nullopt;
    found = loops_.emplace(progress.loop, Loop{.window = {.start_ns = now_ns}}).first;
    return std::nullopt;  // its sums up to here are of before
  }
  Loop& loop = found->second;
  loop.window.add(progress);
  bool is_over = now_ns >= loop.window.start_ns + kCongestionWindowNs;
  std::optional<CongestionReport> told;
  if (is_over || progress.ended) {
    bool congested = is_congested(loop.window);
    uint64_t end_ns = congested ? now_ns : loop.window.start_ns;
    Sums window = std::exchange(loop.window, Sums{.start_ns = now_ns});
    if (congested) {
      if (loop.congested)
        loop.congested->add(window);
      else
        loop.congested = std::move(window);
      uint64_t length = now_ns - loop.congested->start_ns;
      if (length >= loop.next_report_ns && !progress.ended) {
        loop.next_report_ns = 2 * length;
        told = report(*loop.congested, progress, process, now_ns);
        told->in_progress = true;
      }
    }
    if (loop.congested && (!congested || progress.ended)) {
      told = report(*loop.congested, progress, process, end_ns);
      loop.congested.reset();
      loop.next_report_ns = 0;
    }
  }
  if (progress.ended) loops_.erase(found);
  return told;
}

}  // namespace loopsight
