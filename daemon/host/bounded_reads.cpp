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
constexpr int kOwnerRefill = 20;
constexpr size_t kMostAccounts = 4096;

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

BoundedReads::Account& BoundedReads::account_of(const Owner& owner) {
  auto now = Clock::now();
  auto found = accounts_.find(owner);
  if (found == accounts_.end()) {
    // Those of owners that have spent nothing of late say nothing.
    if (accounts_.size() >= kMostAccounts)
      std::erase_if(accounts_, [&](const auto& one) {
        return one.second.refilled + kOwnerRefill * limits_.owner_budget < now;
      });
    if (accounts_.size() >= kMostAccounts) accounts_.erase(accounts_.begin());
    found = accounts_.emplace(owner, Account{.left = limits_.owner_budget, .refilled = now}).first;
  }
  Account& account = found->second;
  account.left = std::min<Clock::duration>(limits_.owner_budget,
                                           account.left + (now - account.refilled) / kOwnerRefill);
  account.refilled = now;
  return account;
}

bool BoundedReads::has_his_share(const Owner& owner) {
  Account& account = account_of(owner);
  auto of_owner = static_cast<size_t>(std::count_if(
      stuck_.begin(), stuck_.end(), [&](const Stuck& one) { return one.owner == owner; }));
  auto of_cgroup =
      static_cast<size_t>(std::count_if(stuck_.begin(), stuck_.end(), [&](const Stuck& one) {
        return one.owner.cgroup == owner.cgroup;
      }));
  bool has = of_owner >= limits_.most_stuck_of_owner ||
             (of_cgroup >= limits_.most_stuck_of_cgroup && of_owner > 0) ||
             Clock::now() < account.pause.until || account.left < limits_.least_patience;
  if (has && !std::exchange(account.is_told, true))
    spdlog::warn(
        "user {}: too many reads of files or memory of his processes have not come back: for a "
        "while none of them is read, and the others are as before",
        owner.user);
  return has;
}

bool BoundedReads::refuses(uint32_t tgid) {
  return refuses_process(tgid) || (owner_of_ && has_his_share(owner_of_(tgid)));
}

bool BoundedReads::refuses_process(uint32_t tgid) {
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
  pause_shares_.remove(tgid);
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

milliseconds BoundedReads::patience(Account* account) {
  auto now = Clock::now();
  left_ = std::min<Clock::duration>(limits_.budget, left_ + (now - refilled_) / kRefill);
  refilled_ = now;
  auto left = account ? std::min(left_, account->left) : left_;
  return std::max(limits_.least_patience,
                  std::min(limits_.patience, std::chrono::duration_cast<milliseconds>(left)));
}

void BoundedReads::spend(Clock::duration time, Account* account) {
  if (time <= kQuick) return;
  left_ = std::max(Clock::duration::zero(), left_ - time);
  if (account) account->left = std::max(Clock::duration::zero(), account->left - time);
}

void BoundedReads::give_up(uint32_t tgid, const Owner& owner, milliseconds waited) {
  given_up_++;
  stuck_.push_back({tgid, owner, std::exchange(reader_, nullptr)});
  if (owner_of_) {
    Pause& together = account_of(owner).pause;
    // Long after the last one they count anew.
    if (Clock::now() > together.until + limits_.pause * (1U << kMostDoublings)) together = {};
    together.times++;
    together.until = Clock::now();
    if (together.times > limits_.free_hangs) {
      auto over = together.times - static_cast<unsigned>(limits_.free_hangs);
      together.until += limits_.pause * (1U << std::min(over - 1, kMostDoublings));
    }
  }
  for (uint32_t gone : pause_shares_.add(tgid, owner)) pauses_.erase(gone);
  Pause& pause = pauses_[tgid];
  pause.until = Clock::now() + limits_.pause * (1U << std::min(pause.times++, kMostDoublings));
  spdlog::warn(
      "pid {}: reading its files or memory has not come back after {} ms (a mount whose server is "
      "gone, or memory that is held back): no more of it is read until it does{}",
      tgid, waited.count(),
      stuck_.size() < limits_.most_stuck ? "" : ", nor of any other process: too many hang");
}

bool BoundedReads::run(uint32_t tgid, std::function<void()> work) {
  if (refuses_process(tgid)) return false;
  Owner owner = owner_of_ ? owner_of_(tgid) : Owner{};
  if (owner_of_ && has_his_share(owner)) {
    shed_++;
    return false;
  }
  if (!start_reader(tgid)) return false;
  Account* account = owner_of_ ? &account_of(owner) : nullptr;
  milliseconds allowed = patience(account);
  auto start = Clock::now();
  std::unique_lock lock(reader_->mutex);
  reader_->work = std::move(work);
  reader_->is_done = false;
  reader_->changed.notify_all();
  bool done = reader_->changed.wait_for(lock, allowed, [&] { return reader_->is_done; });
  reader_->is_left = !done;
  auto error = std::exchange(reader_->error, nullptr);
  lock.unlock();
  spend(Clock::now() - start, account);
  if (!done) give_up(tgid, owner, allowed);
  if (error) std::rethrow_exception(error);
  return done;
}

}  // namespace loopsight
