// The concurrent.futures.ThreadPoolExecutors of one process, asyncio's default one included, as a
// look at its memory shows them.
//
// A pool's threads are those among whose outermost frames is `_worker` of
// concurrent/futures/thread.py; its local variables lead to the queue and to the executor. That
// frame stays where it is while the thread lives, so a look at a known thread reads little: the
// thread is idle when `_worker` itself is its innermost frame, for then it waits for a job.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bpf/wire.h"
#include "daemon/event/event.h"
#include "daemon/python/code_objects.h"
#include "daemon/python/python_objects.h"
#include "daemon/python/thread_states.h"
#include "daemon/python/work_queue.h"

namespace loopsight {

class ThreadPools {
 public:
  ThreadPools(uint32_t tgid, const ls_python& python) : tgid_(tgid), python_(python) {}

  // The pools that have threads; of those whose jobs wait also what the threads are doing.
  std::vector<SeenPool> look(const RemoteMemory& memory, uint64_t now_ns);

 private:
  enum class Role { kOther, kWorker, kThreading };
  struct Worker {
    uint64_t thread_id = 0;
    PythonFrame frame;  // of _worker
    uint64_t queue = 0;
    uint64_t executor_reference = 0;
  };
  // A thread that is in no pool, as far as is known.
  struct Stranger {
    uint64_t thread_id = 0;
    uint64_t next_check_ns = 0;
    uint64_t checks = 0;
  };
  struct Member {
    const Worker* worker = nullptr;
    uint64_t thread = 0;     // address of its state
    uint64_t innermost = 0;  // frame
    uint64_t job = 0;        // 0 of an idle one
    bool busy = false;
  };
  struct Pool {
    std::string name;
    JobWaits waits;
    uint64_t seen_ns = 0;
    uint64_t next_frames_ns = 0;
    std::vector<SeenFrame> frames;
    uint32_t alike = 0;
  };

  Role role_of(const RemoteMemory& memory, const ls_frame& frame);
  const Worker* worker_of(const RemoteMemory& memory, const ThreadState& state, uint64_t now_ns);
  std::optional<Worker> find_worker(const RemoteMemory& memory, const ThreadState& state);
  bool is_still(const RemoteMemory& memory, const Worker& worker) const;
  Member read_member(const RemoteMemory& memory, const ThreadState& state, const Worker& worker);
  SeenPool read_pool(const RemoteMemory& memory, uint64_t queue, const std::vector<Member>& members,
                     uint64_t now_ns);
  void read_executor(const RemoteMemory& memory, uint64_t reference, Pool& pool, SeenPool& seen);
  void read_frames(const RemoteMemory& memory, const std::vector<Member>& members, Pool& pool);

  uint32_t tgid_;
  ls_python python_;
  CodeObjects codes_;
  std::map<std::pair<uint64_t, uint32_t>, Role> roles_;  // by code object's address and identity
  std::map<uint64_t, Worker> workers_;                   // by thread state
  std::map<uint64_t, Stranger> strangers_;
  std::map<uint64_t, Pool> pools_;  // by queue
  std::optional<size_t> job_local_;
  PythonObjects::KnownKeys keys_;
};

}  // namespace loopsight
