// The live source of a pipeline: the kernel's records, what /proc says of the processes and pollers
// that they name, and the one way back to the kernel. Its answers become records of their own, so
// that a recording holds everything that the later stages saw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/base/fair_queue.h"
#include "daemon/base/fair_shares.h"
#include "daemon/base/result.h"
#include "daemon/config/configuration.h"
#include "daemon/event/recording.h"
#include "daemon/host/bounded_reads.h"
#include "daemon/host/owners.h"
#include "daemon/live/beginnings.h"
#include "daemon/live/kernel_names.h"
#include "daemon/live/live_pools.h"
#include "daemon/live/refused_pollers.h"
#include "daemon/live/source_requests.h"
#include "daemon/live/usdt_policy.h"
#include "daemon/pipeline.h"
#include "daemon/probe/tracer.h"
#include "daemon/python/loop_evidence.h"
#include "daemon/python/outside_stack.h"
#include "daemon/python/process_reader.h"
#include "daemon/python/running_loop.h"
#include "daemon/sink/publication.h"

namespace loopsight {

class LiveSource {
 public:
  // References must outlive the object; `recorder` may be null.
  LiveSource(Tracer& tracer, Pipeline& pipeline, RecordingWriter* recorder,
             const ProbeOptions& probes, bool count_functions = false,
             std::string proc_root = "/proc");

  // Source lines are read by it; without one there are no expressions.
  void read_sources_by(std::shared_ptr<SourceReader> reader) {
    source_requests_.serve_by(std::move(reader));
  }

  // From now on what the configuration says of a process and its workload holds. Processes and
  // loops that are there already follow at once.
  Result<void> set_rules(const Configuration& config, uint64_t now_ns);

  // Run methods of further event loops, for what is judged from now on.
  void know_loops(std::vector<RunMethodName> loops) { loops_ = std::move(loops); }

  // Finds the CPython processes that are there already. Call after the probes are attached, so
  // that none slips through between.
  Result<void> scan();
  // Watches one process, its descendants included.
  Result<void> watch(uint32_t tgid);

  Result<void> poll(int timeout_ms);
  // Looks at the loops that are alive: stalls that still run, sums, lost records. Call it four
  // times a second.
  Result<void> tick(uint64_t now_ns);
  // Looks at the programs that have just begun and at those in which no loop was seen yet, and when
  // it has to be called next: UINT64_MAX where
  // only a record can change that.
  Result<void> attend(uint64_t now_ns);
  uint64_t next_ns() const;
  // The CPython processes in which no loop was seen.
  std::vector<NoLoop> no_loops() const { return refused_.list(); }
  // Takes the last sums of every loop that is alive.
  Result<void> finish(uint64_t now_ns);

  Snapshot snapshot() const;  // for the HTTP side
  uint64_t lost() const { return lost_; }

 private:
  Result<void> on_record(std::span<const std::byte> bytes);
  Result<void> add(std::span<const std::byte> bytes);
  // A poll call whose judgement may take a while, with the frames at it.
  struct Question {
    PollerSeen poller;
    std::optional<StackSeen> stack;
  };
  Result<void> take_question(const PollerSeen& poller);
  Result<void> answer(Question& question);
  Result<void> answer_some();
  Result<void> answer_last_of(const LoopEnded& event);
  bool may_read_source(const Owner& owner, uint64_t now_ns);
  Result<void> on_poller(const PollerSeen& event);
  Result<void> describe(ProcessFacts facts, uint64_t now_ns);
  Result<bool> inherit(uint32_t tgid, uint64_t now_ns);
  void on_fork(const ProcessFork& event);
  WorkloadPolicy policy_of(const ProcessFacts& facts) const;
  Result<void> apply_rules(bool renames, uint64_t now_ns);
  void name_by_rules();
  bool trust_name(const std::string& name);
  Result<void> guard_names(ProcessFacts& facts, uint64_t now_ns);
  Result<void> unwatch_loop(uint32_t row, uint32_t generation, uint64_t now_ns);
  Result<void> end_loop(uint32_t row, uint32_t generation, uint64_t now_ns);
  Result<void> number_kernel(ls_kernel_stack& stack, uint64_t now_ns);
  Result<void> show(uint32_t row, const ls_loop& loop, uint64_t now_ns);
  Result<void> on_stack(const StackSeen& event);
  Result<void> catch_wait(uint32_t row, const ls_loop& loop, uint64_t now_ns);
  void learn_asyncio(uint32_t tgid, ls_python& layout);
  void refine_layout(uint32_t tgid, const std::vector<Frame>& frames, const ls_stack& stack);
  void track(uint32_t row, uint32_t generation, uint32_t tgid, const Judgement& judgement,
             const std::vector<Frame>& frames, const ls_stack& stack);
  Result<void> learn_codes(uint32_t tgid, const ls_python& layout, const ls_stack& stack);
  std::optional<OutsideStack> look_at_thread(uint32_t tgid, uint64_t thread_pointer);
  void learn_running_tasks(uint32_t tgid, uint64_t thread_pointer);
  Result<void> judge(const PollerSeen& event, const ProcessFacts& facts, ls_stack& stack);
  Result<void> refuse(const PollerSeen& event, const Judgement& judgement,
                      const std::vector<Frame>& frames);
  Result<void> accept(const PollerSeen& event, const Judgement& judgement,
                      const std::vector<Frame>& frames, const ls_stack& stack);
  void check_left(uint32_t row, uint32_t generation, uint64_t thread_pointer, const ls_stack& stack,
                  size_t outer);
  std::vector<Frame> resolve(uint32_t tgid, const ls_stack& stack) const;
  struct Adoption {
    LoopKind kind = LoopKind::kUnknown;
    ls_adoption wanted{};
  };
  std::optional<Adoption> adoption_of(uint32_t tgid, const ls_stack& stack,
                                      const std::vector<Frame>& frames) const;
  static Adoption adoption_of(uint32_t tgid, const HiddenLoop& loop, uint64_t base);
  bool stands_still(uint32_t tgid, const ls_adopted& adopted, const ls_loop& row,
                    const ls_stack& before);
  Result<void> adopt_loops(uint32_t tgid, uint64_t now_ns);
  Result<void> look_for_loops(uint64_t now_ns);
  void search(uint32_t tgid, uint64_t first_ns);
  void follow_wakers(const StallEnded& event);
  void on_exit(const ProcessExit& event);
  void forget_names(uint32_t tgid);
  int64_t program_start_ns(uint32_t tgid) const;
  Result<void> note_losses(uint64_t now_ns);
  void reconcile(uint64_t now_ns);
  void read_again(uint64_t now_ns);
  bool is_open(const ls_loop& loop) const;
  void know(const ProcessFacts& facts);
  void list_process(uint32_t tgid, ls_process_state state);
  bool names_are_known(uint32_t tgid, const ls_stack& stack) const;
  Result<void> complete_names(uint32_t tgid, const ls_stack& stack);
  bool may_learn(uint32_t tgid, uint64_t now_ns);
  void note_offenders();

  Tracer& tracer_;
  Pipeline& pipeline_;
  RecordingWriter* recorder_;
  std::shared_ptr<Owners> owners_;
  std::shared_ptr<BoundedReads> reads_ = std::make_shared<BoundedReads>();
  ProcessReader reader_;
  UsdtPolicy probes_;
  SourceRequests source_requests_;
  std::optional<Configuration> rules_;
  LivePools pools_;
  Beginnings beginnings_;
  RefusedPollers refused_;
  KernelNames kernel_names_;
  std::vector<RunMethodName> loops_;        // that the configuration names
  std::map<uint32_t, ProcessFacts> known_;  // by tgid
  std::set<std::string> trusted_names_;     // of containers, units and the configuration's rules
  std::deque<std::string> trusted_order_;   // the same, the oldest first
  std::set<uint32_t> unwatched_;            // of these, the CPython processes that rules leave out
  std::set<uint32_t> unread_;               // of these, those of which reads were given up
  bool unjudged_ = false;                   // pollers that are to be asked for again
  std::optional<StackSeen> poller_stack_;   // of the poller record that follows
  bool samples_busy_ = true;                // what loops do that are only busy
  FairShares<uint32_t> known_shares_;
  struct Shown {
    uint32_t generation = 0;
    uint64_t iterations = 0;
    uint64_t time_ns = 0;
    bool released = false;  // seen released at the last tick already
    bool stalling = false;
    uint64_t left_phase_ns = 0;  // the beginning of a busy phase in which the loop was left
    uint64_t load_ns = 0;        // when it was last asked how busy the loop is, and its sums then
    uint64_t load_busy_ns = 0;
    bool crowded = false;
    uint64_t caught_wait_ns = 0;  // the beginning of the wait whose frames were read while it lasts
  };
  void note_load(uint32_t row, const ls_loop& loop, Shown& shown, uint64_t now_ns);
  std::map<uint32_t, Shown> shown_;  // by row
  // Of the loops' threads, by row: for frames that only a look from outside can tell.
  struct Thread {
    uint32_t generation = 0;
    uint32_t tgid = 0;
    uint64_t thread_pointer = 0;
  };
  std::map<uint32_t, Thread> pointers_;
  static constexpr uint64_t kFirstSearchNs = 500'000'000;  // after a program has begun
  struct Search {
    uint64_t next_ns = 0;
    uint64_t pause_ns = 0;
  };
  std::map<uint32_t, Search> searched_;    // processes without a loop yet, by tgid
  std::map<uint32_t, ls_python> layouts_;  // by tgid
  // Children of CPython processes that have run no other program since, with their parents.
  std::map<uint32_t, uint32_t> forks_;
  std::map<uint32_t, ProcessFacts> begun_;  // CPython processes that have not polled yet, by tgid
  std::map<uint32_t, int64_t> execs_;       // when it was seen, CLOCK_REALTIME ns, by tgid
  FairShares<uint32_t> exec_shares_;
  using SourceKey = std::tuple<uint32_t, std::string, uint32_t, uint32_t>;
  std::set<SourceKey> sources_asked_;  // tgid, file, lines
  static constexpr size_t kMaxAsked = 65536;
  FairShares<SourceKey> asked_shares_{kMaxAsked};
  uint64_t follow_until_ns_ = 0;  // who wakes loops that wait for locks
  uint64_t lost_ = 0;
  static constexpr size_t kMostQuestions = 8192;
  FairQueue<Question> questions_{kMostQuestions};
  uint64_t answering_ns_ = 0;             // spent on answers since the records were last looked at
  std::map<Owner, uint64_t> sources_ns_;  // up to when an owner's reads of sources are paid for
  std::map<Owner, uint64_t> learned_ns_;  // when names of an owner's code were last read
  uint64_t unnamed_ = 0;                  // poll calls that were not judged for want of names
  std::map<ls_shed, uint64_t> shed_;
  std::set<std::pair<uint32_t, uint32_t>> said_shed_;  // user and enum ls_shed
  uint64_t unlisted_ = 0;         // processes that the process table had no room for
  std::set<uint32_t> said_full_;  // counters of full tables
  uint64_t rejected_ = 0;
  uint64_t last_reconcile_ns_ = 0;
  uint64_t last_read_again_ns_ = 0;
  uint32_t last_reread_ = 0;  // tgid of the last process that reconcile() read again
};

}  // namespace loopsight
