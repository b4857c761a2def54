// The clock and the loop table in the real kernel.
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <thread>

#include "daemon/probe/features.h"
#include "tests/bpf/fixture.h"

namespace loopsight {
namespace {

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

using TracerTest = TracedSelf;

TEST_F(TracerTest, AttachesEveryProbeThatThisKernelHas) {
  for (const ProbeStatus& probe : tracer_->probes())
    EXPECT_TRUE(probe.attached) << probe.name << ": " << probe.why_not;
  EXPECT_GE(tracer_->probes().size(), 20U);
}

TEST_F(TracerTest, LoadsAndAttachesWhatIsOnlyUsedOnRequest) {
  start({.threshold_ns = kThresholdNs, .listed_only = true, .count_functions = true});
  auto followed = tracer_->follow_wakers(true);
  ASSERT_TRUE(followed) << followed.error().message;
  EXPECT_TRUE(tracer_->follows_wakers());
  ASSERT_TRUE(tracer_->follow_wakers(false));
  EXPECT_FALSE(tracer_->follows_wakers());
  EXPECT_GT(tracer_->site_cost_ns(), 0U);  // measured by a probe on a site of our own
  EXPECT_GE(tracer_->site_hits()[LS_GROUP_GC], 2000U);
}

TEST_F(TracerTest, CountsIterationsAndIdleTime) {
  for (int i = 0; i < 100; i++) poll_once(epoll_);
  epoll_event event{};
  epoll_wait(epoll_, &event, 1, 30);
  poll_once(epoll_);
  auto row = row_of(epoll_);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->iterations, 101U);
  EXPECT_EQ(row->zero_polls, 101U);
  EXPECT_GE(row->idle_ns, 29'000'000U);
  uint64_t counted = 0;
  for (uint64_t bucket : row->buckets) counted += bucket;
  EXPECT_EQ(counted, 101U);
}

TEST_F(TracerTest, AsksOnceWhatPolls) {
  for (int i = 0; i < 10; i++) poll_once(epoll_);
  auto pollers = take<PollerSeen>();
  // Reading the ring buffer polls as well, on its own instance.
  std::erase_if(pollers, [&](const PollerSeen& one) { return one.record.epoll_fd != epoll_; });
  ASSERT_EQ(pollers.size(), 1U);
  EXPECT_EQ(pollers[0].record.epoll_fd, epoll_);
  EXPECT_EQ(pollers[0].record.process_known, 1U);
  // The user stack from its pointer up: what is there belongs to the C library.
  EXPECT_TRUE(std::any_of(std::begin(pollers[0].record.stack), std::end(pollers[0].record.stack),
                          [](uint64_t word) { return word != 0; }));
  EXPECT_NE(pollers[0].record.thread_pointer, 0U);
  EXPECT_EQ(pollers[0].record.chain, 0U);  // no Python frames
}

TEST_F(TracerTest, ForgetsWhatIsRejectedAndDoesNotAskAgain) {
  poll_once(epoll_);
  auto poller = take<PollerSeen>().at(0).record;
  ASSERT_TRUE(tracer_->set_verdict(poller.row, poller.generation, false, false, true));
  iterate([] { sleep_ms(40); });
  // Its end; no stall, no second question.
  std::vector<LoopEnded> ends;
  for (const Event& event : events()) {
    // Reading the ring buffer polls as well, on its own instance.
    if (const auto* stall = std::get_if<StallEnded>(&event)) {
      EXPECT_NE(stall->record.row, poller.row);
    }
    if (const auto* asked = std::get_if<PollerSeen>(&event)) {
      EXPECT_NE(asked->record.epoll_fd, epoll_);
    }
    if (const auto* end = std::get_if<LoopEnded>(&event); end && end->record.row == poller.row)
      ends.push_back(*end);
  }
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_EQ(ends[0].record.reason, static_cast<uint32_t>(LS_END_REJECTED));
}

TEST_F(TracerTest, AsksAgainWhereOnlyOtherFramesWereRejected) {
  poll_once(epoll_);
  auto poller = take<PollerSeen>().at(0).record;
  ASSERT_TRUE(tracer_->set_verdict(poller.row, poller.generation, false, false));
  poll_once(epoll_);
  EXPECT_EQ(take<PollerSeen>().size(), 1U);
}

TEST_F(TracerTest, LetsAThreadAskOnlySoMuch) {
  constexpr int kObjects = 100;
  for (int i = 0; i < kObjects; i++) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    poll_once(epoll);
    close(epoll);
  }
  EXPECT_GT(tracer_->counters()[LS_COUNT_ASKS_REFUSED], 0U);
  EXPECT_LT(take<PollerSeen>().size(), static_cast<size_t>(kObjects));
}

TEST_F(TracerTest, RefusesAVerdictForAnEarlierOwner) {
  poll_once(epoll_);
  auto poller = take<PollerSeen>().at(0).record;
  EXPECT_FALSE(tracer_->set_verdict(poller.row, poller.generation + 1, true, false));
  EXPECT_FALSE(tracer_->set_verdict(tracer_->sizes().loops, 1, true, false));
}

TEST_F(TracerTest, TakesAPollOnAnotherInstanceForAWait) {
  int inner = epoll_create1(EPOLL_CLOEXEC);
  iterate([&] {
    epoll_event event{};
    epoll_wait(inner, &event, 1, 40);
  });
  close(inner);
  auto stalls = take<StallEnded>();
  ASSERT_EQ(stalls.size(), 1U);
  EXPECT_GE(stalls[0].record.end_ns - stalls[0].record.start_ns, 39'000'000U);
}

TEST_F(TracerTest, StartsANewLoopWhereADescriptorNumberIsGivenAway) {
  iterate([] {});
  int number = epoll_;
  close(epoll_);
  sleep_ms(40);  // between two loops nothing is stalled
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  ASSERT_EQ(epoll_, number);
  poll_once(epoll_);
  auto found = events();
  for (const Event& event : found) EXPECT_FALSE(std::holds_alternative<StallEnded>(event));
  auto row = row_of(epoll_);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->iterations, 0U);
}

TEST_F(TracerTest, FollowsALoopThatPollsByPoll) {
  for (int i = 0; i < 3; i++) {
    pollfd one{.fd = 0, .events = 0, .revents = 0};
    poll(&one, 1, 0);
    if (i == 1) sleep_ms(40);
  }
  auto stalls = take<StallEnded>();
  ASSERT_EQ(stalls.size(), 1U);
  EXPECT_GT(stalls[0].record.phase_ns[LS_CAUSE_SLEEP], kThresholdNs);
}

TEST_F(TracerTest, WatchesEachThreadByItself) {
  std::string entry;
  std::thread other([&] {
    entry = fmt::format("/proc/self/task/{}", syscall(SYS_gettid));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    poll_once(epoll);
    sleep_ms(40);
    poll_once(epoll);
    close(epoll);
  });
  iterate([] {});
  other.join();
  // It is joined a moment before the kernel tells of its end.
  while (access(entry.c_str(), F_OK) == 0) sleep_ms(1);
  auto found = events();
  int stalls = 0;
  int ends = 0;
  for (const Event& event : found) {
    if (const auto* stall = std::get_if<StallEnded>(&event)) {
      stalls++;
      EXPECT_NE(stall->record.header.tid, static_cast<uint32_t>(getpid()));
    }
    if (const auto* end = std::get_if<LoopEnded>(&event)) {
      ends++;
      EXPECT_EQ(end->record.open, 0U);  // it closed its instance
    }
  }
  EXPECT_EQ(stalls, 1);
  EXPECT_EQ(ends, 1);
}

TEST_F(TracerTest, FollowsAForkedChildAndItsDeath) {
  pid_t child = fork();
  if (child == 0) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    poll_once(epoll);
    sleep_ms(40);
    poll_once(epoll);
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  bool forked = false;
  bool stalled = false;
  uint32_t exit_code = 0;
  for (const Event& event : events()) {
    if (const auto* fork = std::get_if<ProcessFork>(&event))
      forked = fork->record.header.tgid == static_cast<uint32_t>(child) &&
               fork->record.parent_tgid == static_cast<uint32_t>(getpid());
    if (const auto* stall = std::get_if<StallEnded>(&event))
      stalled = stall->record.header.tgid == static_cast<uint32_t>(child);
    if (const auto* end = std::get_if<LoopEnded>(&event)) exit_code = end->record.exit_code;
  }
  EXPECT_TRUE(forked);
  EXPECT_TRUE(stalled);
  EXPECT_EQ(exit_code, static_cast<uint32_t>(SIGKILL));
}

TEST_F(TracerTest, CountsRecordsThatDoNotFitAndKeepsTheSumsRight) {
  start({.threshold_ns = 1, .listed_only = true, .tables = {.ring_bytes = 4096}});
  for (int i = 0; i < 1000; i++) poll_once(epoll_);
  auto row = row_of(epoll_);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->iterations, 999U);
  EXPECT_EQ(row->stalls, 999U);
  EXPECT_LT(row->stall_records, 20U);
  // Of the stalls that did fit, the record of their waiters may not.
  uint64_t lost = tracer_->counters()[LS_COUNT_RING_FULL];
  EXPECT_GE(lost, row->stalls - row->stall_records);
  EXPECT_LE(lost, row->stalls);
}

TEST_F(TracerTest, OneOwnerSendsNoMoreThanHisShare) {
  start({.threshold_ns = 1, .tables = {.ring_bytes = 1 << 20}, .charge_records = true});
  (void)events();
  for (int i = 0; i < 3000; i++) {
    poll_once(epoll_);
    if (i % 100 == 0) (void)tracer_->poll(0, [](std::span<const std::byte>) {});
  }
  EXPECT_GT(tracer_->counters()[LS_COUNT_RECORDS_SHED], 0U);
  EXPECT_EQ(tracer_->counters()[LS_COUNT_RING_FULL], 0U);
  auto shed = tracer_->take_shed();
  ASSERT_EQ(shed.size(), 1U);
  EXPECT_EQ(shed[0].what, LS_SHED_RECORDS);
  EXPECT_EQ(shed[0].times, tracer_->counters()[LS_COUNT_RECORDS_SHED]);
}

TEST_F(TracerTest, CountsLoopsThatDoNotFitAndTakesFreedRowsAgain) {
  // A thread that ends releases its row; without their being freed the table runs full.
  constexpr uint32_t kRows = 512;
  start({.threshold_ns = kThresholdNs, .listed_only = true, .tables = {.loops = kRows}});
  for (uint32_t i = 0; i < kRows + 50; i++)
    std::thread([] {
      int epoll = epoll_create1(EPOLL_CLOEXEC);
      poll_once(epoll);
      close(epoll);
    }).join();
  EXPECT_GT(tracer_->counters()[LS_COUNT_LOOPS_FULL], 0U);
  // We are one owner, who gets three quarters of it.
  EXPECT_NEAR(static_cast<double>(tracer_->used_rows().size()), kRows * 0.75, 3);
  auto shed = tracer_->take_shed();
  ASSERT_EQ(shed.size(), 1U);
  EXPECT_EQ(shed[0].what, LS_SHED_ROWS);
  EXPECT_EQ(shed[0].user, getuid());
  EXPECT_EQ(shed[0].tgid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(shed[0].times, tracer_->counters()[LS_COUNT_LOOPS_FULL]);
  EXPECT_TRUE(tracer_->take_shed().empty());
  for (uint32_t row : tracer_->used_rows()) {
    auto loop = tracer_->read_row(row);
    if (loop && loop->flags & LS_LOOP_RELEASED) tracer_->free_row(row);
  }
  EXPECT_LE(tracer_->used_rows().size(), 2U);
  poll_once(epoll_);
  EXPECT_TRUE(row_of(epoll_));
}

TEST_F(TracerTest, DoesNotWatchWhomNobodyListed) {
  tracer_->forget_process(static_cast<uint32_t>(getpid()));
  iterate([] { sleep_ms(40); });
  EXPECT_TRUE(events().empty());
  EXPECT_TRUE(tracer_->used_rows().empty());
}

TEST_F(TracerTest, KeepsNothingOfAProcessThatIsForgotten) {
  constexpr uint32_t kTgid = 4'000'000;
  ASSERT_TRUE(tracer_->set_process(kTgid, LS_PROCESS_PYTHON));
  tracer_->set_python(kTgid, {});
  tracer_->set_python(kTgid + 1, {});
  EXPECT_EQ(tracer_->listed_processes(),
            (std::set<uint32_t>{static_cast<uint32_t>(getpid()), kTgid, kTgid + 1}));
  for (uint32_t tgid : {kTgid, kTgid + 1}) tracer_->forget_process(tgid);
  EXPECT_EQ(tracer_->listed_processes(), (std::set<uint32_t>{static_cast<uint32_t>(getpid())}));
}

TEST_F(TracerTest, CountsTheForksThatTheProcessTableHasNoRoomFor) {
  constexpr uint32_t kFirst = 5'000'000;
  uint32_t next = kFirst;
  uint32_t end = kFirst + tracer_->sizes().processes;
  while (next < end && tracer_->set_process(next, LS_PROCESS_PYTHON)) next++;
  EXPECT_LT(next, end);
  EXPECT_EQ(tracer_->counters()[LS_COUNT_PROCESSES_FULL], 0U);
  auto fork_one = [] {
    if (pid_t pid = fork(); pid == 0)
      _exit(0);
    else
      waitpid(pid, nullptr, 0);
  };
  fork_one();
  EXPECT_GT(tracer_->counters()[LS_COUNT_PROCESSES_FULL], 0U);
  for (uint32_t tgid = kFirst; tgid < next; tgid++) tracer_->forget_process(tgid);
  uint64_t before = tracer_->counters()[LS_COUNT_PROCESSES_FULL];
  fork_one();
  EXPECT_EQ(tracer_->counters()[LS_COUNT_PROCESSES_FULL], before);
}

TEST_F(TracerTest, KnowsItsOwnCost) {
  for (int i = 0; i < 1000; i++) poll_once(epoll_);
  uint64_t runs = 0;
  uint64_t time = 0;
  for (const ProgramCost& cost : tracer_->costs()) {
    if (!cost.name.starts_with("epoll_")) continue;
    runs += cost.runs;
    time += cost.run_time_ns;
  }
  EXPECT_GE(runs, 2000U);
  EXPECT_GT(time, 0U);
}

class Sampling : public TracedSelf, public testing::WithParamInterface<bool> {
 protected:
  // Nothing is started before the test knows by what.
  void SetUp() override {}

  uint64_t runs_of(const std::string& program) {
    for (const ProgramCost& cost : tracer_->costs())
      if (cost.name == program) return cost.runs;
    return 0;
  }
};

TEST_P(Sampling, LooksAtALoopThatRunsLong) {
  bool by_tick = GetParam();
  if (geteuid() == 0 && by_tick && !ticks_are_timers())
    GTEST_SKIP() << "the tick of this kernel is no timer, or not on every CPU";
  start({.threshold_ns = kThresholdNs, .listed_only = true, .allow_tick = by_tick});
  if (!tracer_) return;
  poll_once(epoll_);
  auto poller = take<PollerSeen>().at(0).record;
  ASSERT_TRUE(tracer_->sample_thread(poller.row, poller.header.tid));
  iterate([] {
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    while (std::chrono::steady_clock::now() < end) {
    }
  });
  EXPECT_GT(runs_of(by_tick ? "cpu_tick" : "cpu_sample"), 0U);
  EXPECT_EQ(runs_of(by_tick ? "cpu_sample" : "cpu_tick"), 0U);
}

INSTANTIATE_TEST_SUITE_P(By, Sampling, testing::Values(true, false),
                         [](const auto& one) { return one.param ? "Tick" : "OwnTimer"; });

TEST(Features, TellsWhatTheKernelCanDo) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
  for (const Feature& feature : probe_features()) {
    EXPECT_TRUE(feature.ok || !feature.required) << feature.name << ": " << feature.detail;
    EXPECT_FALSE(feature.detail.empty()) << feature.name;
  }
}

TEST(Features, TheFentryFamilyWorksWhereTheKernelAllowsIt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
  if (!fentry_is_allowed()) GTEST_SKIP() << "asked to leave fentry alone";
  if (!can_attach_fentry("__x64_sys_epoll_wait")) GTEST_SKIP() << "this kernel refuses fentry";
  auto tracer = Tracer::open({.listed_only = true, .allow_fentry = true});
  ASSERT_TRUE(tracer) << tracer.error().message;
  ASSERT_TRUE(tracer->attach());
  // One tracepoint of a system call is enough to slow all of them down.
  size_t functions = 0;
  for (const ProbeStatus& probe : tracer->probes()) {
    bool is_function = probe.name.ends_with("_fn_in") || probe.name.ends_with("_fn_out");
    functions += is_function;
    for (const char* call : {"epoll", "poll", "ppoll", "select", "pselect"})
      EXPECT_TRUE(is_function || !probe.name.starts_with(call)) << probe.name;
  }
  EXPECT_GE(functions, 14U);
}

}  // namespace
}  // namespace loopsight
