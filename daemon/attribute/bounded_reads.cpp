#include "daemon/attribute/bounded_reads.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace loopsight {

struct BoundedReads::Reader {
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> work;
  bool is_done = true;
  bool is_left = false;  // ends once its work is done
};

BoundedReads::BoundedReads(Limits limits) : limits_(limits) {}

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
    work();
    work = nullptr;  // what it owns goes before it is done
    lock.lock();
    reader->is_done = true;
    reader->changed.notify_all();
  }
}

bool BoundedReads::refuses(uint32_t tgid) {
  std::erase_if(stuck_, [](const Stuck& one) {
    std::lock_guard lock(one.reader->mutex);
    return one.reader->is_done;
  });
  return stuck_.size() >= limits_.most_stuck ||
         std::any_of(stuck_.begin(), stuck_.end(),
                     [&](const Stuck& one) { return one.tgid == tgid; });
}

bool BoundedReads::run(uint32_t tgid, std::function<void()> work) {
  if (refuses(tgid)) return false;
  if (!reader_) {
    auto reader = std::make_shared<Reader>();
    try {
      std::thread([reader] { serve(reader); }).detach();
    } catch (const std::system_error& error) {
      spdlog::warn("pid {} is not read: no thread can be started: {}", tgid, error.what());
      return false;
    }
    reader_ = std::move(reader);
  }
  std::unique_lock lock(reader_->mutex);
  reader_->work = std::move(work);
  reader_->is_done = false;
  reader_->changed.notify_all();
  auto patience = stuck_.empty() ? limits_.patience : limits_.patience_when_stuck;
  if (reader_->changed.wait_for(lock, patience, [&] { return reader_->is_done; })) return true;
  reader_->is_left = true;
  lock.unlock();
  given_up_++;
  stuck_.push_back({tgid, std::exchange(reader_, nullptr)});
  spdlog::warn(
      "pid {}: reading its files or memory has not come back after {} ms (a mount whose server is "
      "gone, or memory that is held back): nothing of it is read until it does{}",
      tgid, patience.count(),
      stuck_.size() < limits_.most_stuck ? "" : ", nor of any other process: too many hang");
  return false;
}

}  // namespace loopsight
