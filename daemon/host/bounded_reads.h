// Reads of what another process controls, which may never come back: a file on a mount whose server
// has gone, memory that a FUSE file or a userfaultfd holds back. SIGKILL alone ends such a read,
// and not always, so a thread of its own makes it, and is left behind when it takes too long.
//
// What hangs, and the time that is spent on waiting, is charged to the owner of the process: who
// has used up his share is read no more for a while, and others as before.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "daemon/base/fair_shares.h"

namespace loopsight {

// For one thread's use.
class BoundedReads {
 public:
  struct Limits {
    std::chrono::milliseconds patience{2000};  // with one read
    // Of waiting for slow reads in all; a tenth of the time that passes comes back.
    std::chrono::milliseconds budget{4000};
    std::chrono::milliseconds least_patience{100};  // once the budget is spent
    // After a read that was given up, for its process; doubles each time, 64 times as long at most.
    std::chrono::milliseconds pause{5000};
    size_t most_stuck = 64;  // reads that have not come back; from then on nothing is read
    size_t most_stuck_of_owner = 6;
    size_t most_stuck_of_cgroup = 32;
    // Of waiting for slow reads of one owner; a twentieth of the time that passes comes back.
    std::chrono::milliseconds owner_budget{2000};
    size_t free_hangs = 6;  // of one owner; after that his processes pause together
  };
  BoundedReads() : BoundedReads(Limits{}) {}
  explicit BoundedReads(Limits limits);
  ~BoundedReads();  // waits for no read
  BoundedReads(const BoundedReads&) = delete;
  BoundedReads& operator=(const BoundedReads&) = delete;

  // Without it nobody has a share.
  void charge_by(std::function<Owner(uint32_t tgid)> owner_of) { owner_of_ = std::move(owner_of); }

  // What `read` gives, which reads of process `tgid` on another thread; its exceptions pass
  // through. Nothing where it takes too long or nothing is read of that process now, see refuses().
  // `read` must own all that it touches: one that is given up may go on, and outlive this object.
  template <typename Read>
  std::optional<std::invoke_result_t<Read&>> of(uint32_t tgid, Read read) {
    auto value = std::make_shared<std::optional<std::invoke_result_t<Read&>>>();
    bool done = run(tgid, [value, read = std::move(read)]() mutable { value->emplace(read()); });
    if (!done) return std::nullopt;
    return std::move(*value);
  }

  // Whether nothing of this process is read now: a read of it has not come back, or was given up a
  // moment ago; or its owner has used up his share; or too many of others have not come back.
  bool refuses(uint32_t tgid);
  void forget(uint32_t tgid);                      // the process has ended, or runs another program
  uint64_t given_up() const { return given_up_; }  // reads that took too long
  uint64_t shed() const { return shed_; }          // not begun, since the owner had his share

 private:
  struct Reader;  // a thread and what it is to do
  struct Stuck {
    uint32_t tgid = 0;  // 0 for a process that was forgotten
    Owner owner;
    std::shared_ptr<Reader> reader;
  };
  using Clock = std::chrono::steady_clock;
  struct Pause {
    unsigned times = 0;  // that a read was given up
    Clock::time_point until;
  };
  struct Account {
    Clock::duration left{};  // of the owner's budget
    Clock::time_point refilled;
    Pause pause;
    bool is_told = false;
  };
  Account& account_of(const Owner& owner);
  bool has_his_share(const Owner& owner);
  bool refuses_process(uint32_t tgid);
  static void serve(const std::shared_ptr<Reader>& reader);
  bool start_reader(uint32_t tgid);
  std::chrono::milliseconds patience(Account* account);
  void spend(Clock::duration time, Account* account);
  void give_up(uint32_t tgid, const Owner& owner, std::chrono::milliseconds waited);
  bool run(uint32_t tgid, std::function<void()> work);

  Limits limits_;
  std::shared_ptr<Reader> reader_;  // begins with the first read
  std::vector<Stuck> stuck_;
  std::map<uint32_t, Pause> pauses_;  // by tgid
  FairShares<uint32_t> pause_shares_{4096};
  std::function<Owner(uint32_t tgid)> owner_of_;
  std::map<Owner, Account> accounts_;
  Clock::duration left_;  // of the budget
  Clock::time_point refilled_ = Clock::now();
  uint64_t given_up_ = 0;
  uint64_t shed_ = 0;
};

}  // namespace loopsight
