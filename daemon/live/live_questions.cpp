// The part of the live source that sees to it that no judgement of one owner's poll calls holds up
// the records of the others: what takes long waits for its turn, the records do not.
#include <algorithm>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/live/live_source.h"

namespace loopsight {
namespace {

constexpr uint64_t kAtOnceNs = 30'000'000;  // of answers between two looks at the records

}  // namespace

// At once where nothing else waits, so that a program that ends in a moment is still there to be
// read.
Result<void> LiveSource::take_question(const PollerSeen& poller) {
  Question question{.poller = poller, .stack = std::exchange(poller_stack_, std::nullopt)};
  if (questions_.empty() && answering_ns_ < kAtOnceNs) return answer(question);
  const ls_poller& record = poller.record;
  if (questions_.push(owners_->of(record.header.tgid), question)) return {};
  unnamed_++;
  if (!record.borrowed) tracer_.ask_again(record.row, record.generation);
  return {};
}

Result<void> LiveSource::answer(Question& question) {
  uint64_t start = monotonic_now_ns();
  poller_stack_ = question.stack;
  auto answered = on_poller(question.poller);
  poller_stack_.reset();
  answering_ns_ += monotonic_now_ns() - start;
  return answered;
}

Result<void> LiveSource::answer_some() {
  answering_ns_ = 0;
  while (answering_ns_ < kAtOnceNs) {
    auto question = questions_.pop();
    if (!question) break;
    if (auto answered = answer(*question); !answered) return answered;
  }
  return {};
}

// Of a loop that has ended, what it did is told only once it is known to be one. Of a process that
// is known, or whose parent is, its frames tell; any other has gone.
Result<void> LiveSource::answer_last_of(const LoopEnded& event) {
  if (questions_.empty()) return {};
  const ls_loop_end& record = event.record;
  auto waiting = questions_.take(owners_->of(record.header.tgid), [&](const Question& one) {
    return one.poller.record.row == record.row && one.poller.record.generation == record.generation;
  });
  for (Question& question : waiting)
    if (known_.contains(record.header.tgid) || forks_.contains(record.header.tgid))
      if (auto answered = answer(question); !answered) return answered;
  return {};
}

// Source files are read while the stack that names them waits: a twentieth of the time for each
// owner, and a quarter of a second at once.
bool LiveSource::may_read_source(const Owner& owner, uint64_t now_ns) {
  constexpr uint64_t kBurstNs = 5'000'000'000;  // of the time that passes
  constexpr size_t kMostOwners = 4096;
  uint64_t first = now_ns > kBurstNs ? now_ns - kBurstNs : 0;
  if (sources_ns_.size() >= kMostOwners)
    std::erase_if(sources_ns_, [&](const auto& one) { return one.second <= first; });
  auto [paid, is_new] = sources_ns_.try_emplace(owner, first);
  paid->second = std::max(paid->second, first);
  return paid->second <= now_ns;
}

}  // namespace loopsight
