// The daemon's side of the process that opens source files of strangers (source_server.h).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"
#include "daemon/host/source_protocol.h"

namespace loopsight {

class SourceReader {
 public:
  // Forks it. Call it before rights are dropped and before there is a second thread. Errors: no
  // process or socket is to be had.
  static Result<std::shared_ptr<SourceReader>> start();
  ~SourceReader();  // it ends
  SourceReader(const SourceReader&) = delete;
  SourceReader& operator=(const SourceReader&) = delete;

  // Asks for lines of a file below `base`. From any thread, one at a time. What the answer says is
  // the reader's word: text of the right number of lines, not cleaned.
  SourceAnswer ask(SourceRequest request, const Fd& base, const Fd& host_root);

  struct Counts {
    uint64_t hung = 0;
    uint64_t died = 0;
    uint64_t restarted = 0;
  };
  Counts counts() const;
  pid_t pid() const { return keeper_; }

 private:
  SourceReader(Fd socket, pid_t keeper) : socket_(std::move(socket)), keeper_(keeper) {}
  SourceAnswer wait_for_answer(const SourceRequest& request);

  Fd socket_;
  pid_t keeper_;
  std::timed_mutex mutex_;
  uint64_t number_ = 0;
  bool is_gone_ = false;
  std::atomic<uint64_t> hung_ = 0;
  std::atomic<uint64_t> died_ = 0;
  std::atomic<uint64_t> started_ = 0;
};

}  // namespace loopsight
