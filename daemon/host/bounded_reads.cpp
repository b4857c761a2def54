#include "daemon/host/bounded_reads.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

namespace loopsight {
namespace {

using std::chrono::milliseconds;

constexpr int kRefill = 10;             // of the time that passes, a tenth comes back
constexpr milliseconds kQuick{20};      // what a read may take that is no concern
constexpr unsigned kMostDoublings = 6;  // of a pause
constexpr size_t kMostPauses = 4096;

}  // namespace

struct BoundedReads::Reader {
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> work;
  std::exception_ptr error;
  bool is_done = true;
  bool is_left = false;  // ends once its work is done
};

BoundedReads::BoundedReads(Limits limits) : limits_(limits), left_(limits.budget) {}

BoundedReads::~BoundedReads() {
  if (!reader_) return;
  std::lock_guard lock(reader_->mutex);
  reader_->is_left = true;
  reader_->changed.notify_all();
}

void BoundedReads::serve(const std::shared_ptr<Reader>& reader) {
  std::unique_lock lock(reader->mutex);
  for (;;) {
    reader->changed.wait(lock, [&] { return reader->work || reader->is_left; });
    if (!reader->work) return;
    auto work = std::exchange(reader->work, nullptr);
    lock.unlock();
    std::exception_ptr error;
    try {
      work();
    } catch (...) {
      error = std::current_exception();
    }
    work = nullptr;  // what it owns goes before it is done
    lock.lock();
    reader->error = error;
    reader->is_done = true;
    reader->changed.notify_all();
  }
}

bool BoundedReads::refuses(uint32_t tgid) {
  std::erase_if(stuck_, [](const Stuck& one) {
    std::lock_guard lock(one.reader->mutex);
    return one.reader->is_done;
  });
  auto pause = pauses_.find(tgid);
  return stuck_.size() >= limits_.most_stuck ||
         (pause != pauses_.end() && Clock::now() < pause->second.until) ||
         std::any_of(stuck_.begin(), stuck_.end(),
                     [&](const Stuck& one) { return one.tgid == tgid; });
}

void BoundedReads::forget(uint32_t tgid) {
  pauses_.erase(tgid);
  for (Stuck& one : stuck_)
    if (one.tgid == tgid) one.tgid = 0;
}

bool BoundedReads::start_reader(uint32_t tgid) {
  if (reader_) return true;
  auto reader = std::make_shared<Reader>();
  try {
    std::thread([reader] { serve(reader); }).detach();
  } catch (const std::system_error& error) {
    spdlog::warn("pid {} is not read: no thread can be started: {}", tgid, error.what());
    return false;
  }
  reader_ = std::move(reader);
  return true;
}

milliseconds BoundedReads::patience() {
  auto now = Clock::now();
  left_ = std::min<Clock::duration>(limits_.budget, left_ + (now - refilled_) / kRefill);
  refilled_ = now;
  return std::max(limits_.least_patience,
                  std::min(limits_.patience, std::chrono::duration_cast<milliseconds>(left_)));
}

void BoundedReads::spend(Clock::duration time) {
  if (time > kQuick) left_ = std::max(Clock::duration::zero(), left_ - time);
}

void BoundedReads::give_up(uint32_t tgid, milliseconds waited) {
  given_up_++;
  stuck_.push_back({tgid, std::exchange(reader_, nullptr)});
  if (pauses_.size() >= kMostPauses) pauses_.clear();
  Pause& pause = pauses_[tgid];
  pause.until = Clock::now() + limits_.pause * (1U << std::min(pause.times++, kMostDoublings));
  spdlog::warn(
      "pid {}: reading its files or memory has not come back after {} ms (a mount whose server is "
      "gone, or memory that is held back): no more of it is read until it does{}",
      tgid, waited.count(),
      stuck_.size() < limits_.most_stuck ? "" : ", nor of any other process: too many hang");
}

bool BoundedReads::run(uint32_t tgid, std::function<void()> work) {
  if (refuses(tgid) || !start_reader(tgid)) return false;
  milliseconds allowed = patience();
  auto start = Clock::now();
  std::unique_lock lock(reader_->mutex);
  reader_->work = std::move(work);
  reader_->is_done = false;
  reader_->changed.notify_all();
  bool done = reader_->changed.wait_for(lock, allowed, [&] { return reader_->is_done; });
  reader_->is_left = !done;
  auto error = std::exchange(reader_->error, nullptr);
  lock.unlock();
  spend(Clock::now() - start);
  if (!done) give_up(tgid, allowed);
  if (error) std::rethrow_exception(error);
  return done;
}

}  // namespace loopsight
