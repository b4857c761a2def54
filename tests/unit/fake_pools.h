// A CPython process with a thread pool, made up.
#pragma once

#include <cstdint>
#include <vector>

#include "daemon/python/thread_pools.h"
#include "tests/unit/fake_memory.h"

namespace loopsight {

// A process with one pool of `threads` threads, of which the first `busy` run a job.
class PoolProcess : public FakePython {
 public:
  static constexpr const char* kThreadFile = "/usr/lib/python3/concurrent/futures/thread.py";
  static constexpr const char* kThreading = "/usr/lib/python3/threading.py";

  PoolProcess(int minor, size_t threads, size_t busy, std::vector<uint64_t> jobs)
      : FakePython(minor), queue_(queue(jobs)) {
    bootstrap_ = code("Thread._bootstrap", kThreading);
    worker_ = code("_worker", kThreadFile);
    run_ = code("_WorkItem.run", kThreadFile);
    fetch_ = code("fetch", "/srv/app.py");
    release_ = code("Semaphore.release", kThreading);
    executor_type_ = type("ThreadPoolExecutor", 1 << 4);
    memory.word(executor_type_ + python.type_name + 848,
                keys({text("_max_workers"), text("_thread_name_prefix")}, {}));
    uint64_t executor = object(executor_type_);
    values_ = allot(64);
    memory.word(values_, integer(static_cast<uint32_t>(threads)));
    memory.word(values_ + 8, text("asyncio"));
    memory.word(executor - 32, values_);
    reference_ = object(type("weakref", 0));
    memory.word(reference_ + python.object_bytes, executor);
    job_type_ = type("_WorkItem", 0);
    std::vector<uint64_t> innermost;
    for (size_t i = 0; i < threads; i++) {
      workers.push_back(worker_frame());
      innermost.push_back(i < busy ? busy_frame(workers.back()) : workers.back());
    }
    states = this->threads(innermost);
  }

  uint64_t worker_frame() {
    uint64_t at = frame(worker_, frame(bootstrap_, 0));
    local(at, 0, reference_);
    local(at, 1, queue_);
    local(at, 5, object(job_type_));
    return at;
  }
  uint64_t busy_frame(uint64_t worker) { return frame(fetch_, frame(run_, worker)); }
  uint64_t between_frame(uint64_t worker) { return frame(release_, worker); }

  std::vector<SeenPool> look(ThreadPools& pools, uint64_t now_ns) {
    return pools.look(memory.remote(), now_ns);
  }

  std::vector<uint64_t> workers;  // frames
  std::vector<uint64_t> states;
  uint64_t queue_;
  uint64_t reference_ = 0;
  uint64_t values_ = 0;

 private:
  uint64_t bootstrap_ = 0, worker_ = 0, run_ = 0, fetch_ = 0, release_ = 0;
  uint64_t executor_type_ = 0, job_type_ = 0;
};

}  // namespace loopsight
