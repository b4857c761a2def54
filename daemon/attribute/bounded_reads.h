// Reads of what another process controls, which may never come back: a file on a mount whose server
// has gone, memory that a FUSE file or a userfaultfd holds back. Only SIGKILL ends such a read, so
// a thread of its own makes it, and is left behind when it takes too long.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
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
    std::chrono::milliseconds patience{2000};
    std::chrono::milliseconds patience_when_stuck{200};  // while an earlier read has not come back
    size_t most_stuck = 16;                              // from then on nothing is read
  };
  BoundedReads() : BoundedReads(Limits{}) {}
  explicit BoundedReads(Limits limits);
  ~BoundedReads();  // waits for no read
  BoundedReads(const BoundedReads&) = delete;
  BoundedReads& operator=(const BoundedReads&) = delete;

  // What `read` gives, which reads of process `tgid` on another thread. Nothing where it takes too
  // long, or an earlier read of that process has not come back yet, or too many of others have not.
  // `read` must own all that it touches: one that is given up may go on, and outlive this object.
  template <typename Read>
  std::optional<std::invoke_result_t<Read&>> of(uint32_t tgid, Read read) {
    auto value = std::make_shared<std::optional<std::invoke_result_t<Read&>>>();
    bool done = run(tgid, [value, read = std::move(read)]() mutable { value->emplace(read()); });
    if (!done) return std::nullopt;
    return std::move(*value);
  }

  // Whether nothing of this process would be read now.
  bool refuses(uint32_t tgid);
  uint64_t given_up() const { return given_up_; }  // reads that took too long

 private:
  struct Reader;  // a thread and what it is to do
  struct Stuck {
    uint32_t tgid = 0;
    std::shared_ptr<Reader> reader;
  };
  static void serve(const std::shared_ptr<Reader>& reader);
  bool run(uint32_t tgid, std::function<void()> work);

  Limits limits_;
  std::shared_ptr<Reader> reader_;  // begins with the first read
  std::vector<Stuck> stuck_;
  uint64_t given_up_ = 0;
};

}  // namespace loopsight
