// Reads of what another process controls, which may never come back: a file on a mount whose server
// has gone, memory that a FUSE file or a userfaultfd holds back. SIGKILL alone ends such a read,
// and not always, so a thread of its own makes it, and is left behind when it takes too long.
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
  };
  BoundedReads() : BoundedReads(Limits{}) {}
  explicit BoundedReads(Limits limits);
  ~BoundedReads();  // waits for no read
  BoundedReads(const BoundedReads&) = delete;
  BoundedReads& operator=(const BoundedReads&) = delete;

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
  // moment ago; or too many of others have not.
  bool refuses(uint32_t tgid);
  void forget(uint32_t tgid);                      // the process has ended, or runs another program
  uint64_t given_up() const { return given_up_; }  // reads that took too long

 private:
  struct Reader;  // a thread and what it is to do
  struct Stuck {
    uint32_t tgid = 0;  // 0 for a process that was forgotten
    std::shared_ptr<Reader> reader;
  };
  using Clock = std::chrono::steady_clock;
  struct Pause {
    unsigned times = 0;  // that a read was given up
    Clock::time_point until;
  };
  static void serve(const std::shared_ptr<Reader>& reader);
  bool start_reader(uint32_t tgid);
  std::chrono::milliseconds patience();
  void spend(Clock::duration time);
  void give_up(uint32_t tgid, std::chrono::milliseconds waited);
  bool run(uint32_t tgid, std::function<void()> work);

  Limits limits_;
  std::shared_ptr<Reader> reader_;  // begins with the first read
  std::vector<Stuck> stuck_;
  std::map<uint32_t, Pause> pauses_;  // by tgid
  Clock::duration left_;              // of the budget
  Clock::time_point refilled_ = Clock::now();
  uint64_t given_up_ = 0;
};

}  // namespace loopsight
