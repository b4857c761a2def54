// What every loop and every thread of a process does now, from one look: the kernel's at the
// threads, and ours at their frames between two of the kernel's, which tell what stood still.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/attribute/attributor.h"
#include "daemon/attribute/thread_report.h"
#include "daemon/base/run_method_name.h"
#include "daemon/host/bounded_reads.h"
#include "daemon/live/source_requests.h"
#include "daemon/probe/thread_survey.h"
#include "daemon/python/interpreter_lock.h"
#include "daemon/python/process_reader.h"
#include "daemon/python/running_loop.h"
#include "daemon/python/thread_states.h"

namespace loopsight {

class ProcessSurvey {
 public:
  // `threads` must outlive the object. `loops`: run methods of further event loops.
  ProcessSurvey(ThreadSurvey& threads, std::shared_ptr<SourceReader> sources,
                std::vector<RunMethodName> loops, std::string proc_root = "/proc");

  // Errors: there is no such process, it is no CPython that is known, its memory does not answer.
  Result<ProcessReport> look(uint32_t tgid);

 private:
  // What the memory of the process tells of one of its threads.
  struct Seen {
    ThreadState state;
    bool is_main = false;  // the process's first thread
    ls_stack stack{};
    InterpreterLock lock;
    bool waits_for_lock = false;
    int polled_fd = -1;     // that its poll or select waits for
    std::string path;       // that its system call was given
    std::string loop_type;  // of the loop that asyncio says runs there, "" none
    bool stood_still = false;
    bool got_no_cpu = false;  // at both looks it was ready to run, and had not run between them
    bool has_lock() const { return lock.is_locked && lock.holder == state.address; }
  };
  struct Memory {
    std::vector<Seen> threads;
    std::vector<ls_code> codes;
    bool is_cut = false;
  };
  using Kernel = std::vector<ls_surveyed>;

  static Memory read_memory(uint32_t tgid, const ls_python& python, const Kernel& kernel);
  Result<Memory> read_standing(uint32_t tgid, const ls_python& python, Kernel& kernel);
  void find_loop(ThreadReport& report, const Seen& seen, const ls_surveyed& kernel,
                 const std::vector<Frame>& frames) const;
  Result<ProcessFacts> read_facts(uint32_t tgid);
  void report_threads(uint32_t tgid, const Memory& memory, const Kernel& kernel,
                      ProcessReport& report);
  static Stall stall_of(uint32_t tgid, const Seen* seen, const ls_surveyed& kernel,
                        uint64_t for_ns);
  ThreadReport report_thread(uint32_t tgid, const Seen* seen, const ls_surveyed& kernel,
                             const ls_stack* holder, uint32_t holder_tid);
  void read_sources(uint32_t tgid, int minor, const Seen& seen, uint64_t now_ns);

  ThreadSurvey& threads_;
  std::vector<RunMethodName> loops_;
  std::string proc_root_;
  std::shared_ptr<BoundedReads> reads_ = std::make_shared<BoundedReads>();
  ProcessReader reader_;
  HidingLibraries libraries_;  // of the process that is looked at
  SourceRequests source_requests_;
  Workloads workloads_;
  CodeObjects codes_;
  Sources sources_;
  std::set<std::tuple<std::string, uint32_t, uint32_t>>
      sources_asked_;  // file, lines; in this look
  CodeJudge judge_;
  KernelFunctions kernel_;  // none: these threads sleep still
  Attributor attributor_{workloads_, codes_, sources_, judge_, kernel_};
};

}  // namespace loopsight
