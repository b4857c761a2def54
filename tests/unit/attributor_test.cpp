#include "daemon/attribute/attributor.h"

#include <asm/unistd_64.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <set>

#include "daemon/attribute/advice.h"
#include "daemon/attribute/wait_target.h"

namespace loopsight {
namespace {

ls_wait wait_on(uint32_t object) {
  ls_wait wait{};
  wait.object = object;
  wait.fd = 3;
  wait.syscall = __NR_read;
  return wait;
}

void set_name(ls_wait& wait, int index, const char* name) {
  std::strncpy(wait.names[index], name, LS_PATH_NAME_SIZE - 1);
}

TEST(DescribeTarget, WritesAddresses) {
  ls_wait wait = wait_on(LS_OBJECT_SOCKET);
  wait.family = AF_INET;
  wait.port = 5432;
  wait.address[0] = 10;
  wait.address[3] = 5;
  EXPECT_EQ(describe_target(wait), "10.0.0.5:5432");
  wait.family = AF_INET6;
  std::memset(wait.address, 0, sizeof(wait.address));
  wait.address[15] = 1;
  EXPECT_EQ(describe_target(wait), "[::1]:5432");
  wait.port = 0;  // not connected
  EXPECT_EQ(describe_target(wait), std::nullopt);
  wait.family = AF_UNIX;
  EXPECT_EQ(describe_target(wait), "unix socket");
  set_name(wait, 0, "/run/pg.sock");
  EXPECT_EQ(describe_target(wait), "unix:/run/pg.sock");
}

TEST(DescribeTarget, JoinsPathsFromTheInnermostNameOut) {
  ls_wait wait = wait_on(LS_OBJECT_FILE);
  set_name(wait, 0, "x.db");
  set_name(wait, 1, "lib");
  set_name(wait, 2, "var");
  EXPECT_EQ(describe_target(wait), "/var/lib/x.db");
  for (int i = 0; i < LS_PATH_NAMES; i++) set_name(wait, i, "d");
  EXPECT_EQ(describe_target(wait), ".../d/d/d/d/d/d/d/d");
  EXPECT_EQ(describe_target(wait_on(LS_OBJECT_FILE)), std::nullopt);
}

TEST(DescribeTarget, CleansNames) {
  ls_wait wait = wait_on(LS_OBJECT_FILE);
  set_name(wait, 0, "a\n\x1b[2J");
  EXPECT_EQ(describe_target(wait), "/a??[2J");
}

TEST(DescribeTarget, NamesChildren) {
  ls_wait wait = wait_on(LS_OBJECT_NONE);
  wait.cause = LS_CAUSE_SUBPROCESS;
  wait.syscall = __NR_wait4;
  wait.args[0] = 77;
  EXPECT_EQ(describe_target(wait), "pid 77");
  wait.args[0] = static_cast<uint64_t>(-1);
  EXPECT_EQ(describe_target(wait), "any child");
  wait.syscall = __NR_vfork;
  EXPECT_EQ(describe_target(wait), std::nullopt);
}

TEST(SyscallName, KnowsThisProcessorsNumbers) {
  EXPECT_EQ(syscall_name(__NR_clock_nanosleep), "clock_nanosleep");
  EXPECT_EQ(syscall_name(99999), "syscall 99999");
}

TEST(Attributor, TakesTheLargestCause) {
  Workloads workloads;
  CodeObjects codes;
  Sources sources;
  CodeJudge judge;
  KernelFunctions kernel;
  Attributor attributor(workloads, codes, sources, judge, kernel);
  Stall stall{.start_ns = 0, .end_ns = 100};
  stall.causes[LS_CAUSE_CPU] = 40;
  stall.causes[LS_CAUSE_DISK] = 60;
  EXPECT_EQ(attributor.on_stall(stall).cause, static_cast<uint32_t>(LS_CAUSE_DISK));
  EXPECT_FALSE(attributor.on_stall(stall).host_to_blame);
}

TEST(Attributor, BlamesTheHostForWhatIsItsDoing) {
  Workloads workloads;
  CodeObjects codes;
  Sources sources;
  CodeJudge judge;
  KernelFunctions kernel;
  Attributor attributor(workloads, codes, sources, judge, kernel);
  std::set<uint32_t> host;
  for (uint32_t cause = 0; cause < LS_CAUSES; cause++) {
    Stall stall{.start_ns = 0, .end_ns = 100};
    stall.causes[cause] = 100;
    if (attributor.on_stall(stall).host_to_blame) host.insert(cause);
  }
  EXPECT_EQ(host, (std::set<uint32_t>{LS_CAUSE_PAGE_FAULT, LS_CAUSE_RUN_QUEUE, LS_CAUSE_THROTTLED,
                                      LS_CAUSE_STOPPED}));
}

// A stall whose stacks name the given functions of /srv/app.py; code objects are numbered from 1.
class AttributorFrames : public testing::Test {
 protected:
  void add_code(uint64_t address, const std::string& function, const std::string& file) {
    ls_code record{};
    record.header.tgid = 10;
    record.code = address;
    record.first_line = static_cast<uint32_t>(address);
    record.name.state = record.filename.state = 1 << 2;
    record.name.length = static_cast<uint32_t>(function.size());
    record.filename.length = static_cast<uint32_t>(file.size());
    std::memcpy(record.name.bytes, function.data(), function.size());
    std::memcpy(record.filename.bytes, file.data(), file.size());
    codes_.on_code(record);
  }
  static StackSample sample(uint32_t source, std::initializer_list<uint64_t> codes) {
    StackSample one{.source = source};
    one.stack.end = LS_STACK_COMPLETE;
    if (source == LS_STACK_OF_SAMPLE) one.slice_ns = 10;
    for (uint64_t code : codes) one.stack.frames[one.stack.count++].code = code;
    return one;
  }
  static StackSample wait_sample(uint32_t cause, std::initializer_list<uint64_t> codes) {
    StackSample one = sample(LS_STACK_OF_WAIT, codes);
    one.cause = cause;
    return one;
  }
  void SetUp() override {
    add_code(1, "select", "/usr/lib/python3.11/selectors.py");
    add_code(2, "fetch", "/srv/app.py");
    add_code(3, "small", "/srv/app.py");
    add_code(4, "_find_and_load", "<frozen importlib._bootstrap>");
    add_code(5, "communicate", "/usr/lib/python3.11/subprocess.py");
    add_code(6, "Handle._run", "/usr/lib/python3.11/asyncio/events.py");
    add_code(7, "BaseEventLoop._run_once", "/usr/lib/python3.11/asyncio/base_events.py");
    add_code(8, "BaseEventLoop.run_forever", "/usr/lib/python3.11/asyncio/base_events.py");
    add_code(9, "<module>", "/srv/app.py");
    stall_.tgid = 10;
    stall_.end_ns = 1000;
  }
  Workloads workloads_;
  CodeObjects codes_;
  Sources sources_;
  CodeJudge judge_;
  KernelFunctions kernel_;
  Attributor attributor_{workloads_, codes_, sources_, judge_, kernel_};
  Stall stall_;
};

TEST_F(AttributorFrames, BlamesTheInnermostFrameOfTheUsersOwn) {
  stall_.causes[LS_CAUSE_NETWORK] = 1000;
  stall_.wait = ls_wait{.duration_ns = 900, .cause = LS_CAUSE_NETWORK, .syscall = 45};
  stall_.samples = {wait_sample(LS_CAUSE_NETWORK, {1, 2, 3})};
  auto report = attributor_.on_stall(stall_);
  ASSERT_TRUE(report.culprit);
  EXPECT_EQ(report.culprit->function, "fetch");
  EXPECT_EQ(report.frames.size(), 3U);
  EXPECT_EQ(report.contributors.at(0).ns, 900U);
}

TEST_F(AttributorFrames, BlamesTheLeafWhereThereIsNoneOfTheUsersOwn) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  stall_.samples = {sample(LS_STACK_OF_SAMPLE, {1, 5})};
  EXPECT_EQ(attributor_.on_stall(stall_).culprit->function, "select");
}

TEST_F(AttributorFrames, WeighsContributorsByTheirSamples) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  stall_.samples = {sample(LS_STACK_OF_SAMPLE, {3}), sample(LS_STACK_OF_SAMPLE, {1, 2}),
                    sample(LS_STACK_OF_SAMPLE, {2}), sample(LS_STACK_OF_SAMPLE, {2})};
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.culprit->function, "fetch");
  ASSERT_EQ(report.contributors.size(), 2U);
  EXPECT_EQ(report.contributors[0].ns, 750U);
  EXPECT_EQ(report.contributors[1].frame.function, "small");
}

TEST_F(AttributorFrames, GivesNoSampleMoreThanThereIs) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  for (uint64_t ns : {uint64_t{1} << 63, uint64_t{1} << 63, uint64_t{1} << 50}) {
    stall_.samples.push_back(sample(LS_STACK_OF_SAMPLE, {2}));
    stall_.samples.back().slice_ns = ns;
  }
  auto report = attributor_.on_stall(stall_);
  ASSERT_EQ(report.contributors.size(), 1U);
  EXPECT_LE(report.contributors[0].ns, 1000U);
}

TEST_F(AttributorFrames, TellsAnImportWhateverItWaitsOn) {
  stall_.causes[LS_CAUSE_DISK] = 600;
  stall_.causes[LS_CAUSE_CPU] = 400;
  stall_.wait = ls_wait{.duration_ns = 600, .cause = LS_CAUSE_DISK};
  stall_.samples = {wait_sample(LS_CAUSE_DISK, {4, 2}), sample(LS_STACK_OF_SAMPLE, {4, 2}),
                    sample(LS_STACK_OF_SAMPLE, {2})};
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.cause, static_cast<uint32_t>(LS_CAUSE_IMPORT));
  EXPECT_EQ(report.stall.causes[LS_CAUSE_IMPORT], 800U);
  EXPECT_EQ(report.stall.causes[LS_CAUSE_CPU], 200U);
}

TEST_F(AttributorFrames, TellsTheSubprocessModulesPipeFromAnyOther) {
  stall_.causes[LS_CAUSE_PIPE] = 1000;
  stall_.wait = ls_wait{.duration_ns = 1000, .cause = LS_CAUSE_PIPE};
  stall_.samples = {wait_sample(LS_CAUSE_PIPE, {1, 5, 2})};
  EXPECT_EQ(attributor_.on_stall(stall_).cause, static_cast<uint32_t>(LS_CAUSE_SUBPROCESS));
}

TEST_F(AttributorFrames, TellsAConvoyFromOneLongWaitForTheLock) {
  constexpr uint64_t kMs = 1'000'000;
  stall_.start_ns = 0;
  stall_.end_ns = 110 * kMs;
  stall_.causes = {};
  stall_.causes[LS_CAUSE_GIL] = 100 * kMs;
  EXPECT_FALSE(attributor_.on_stall(stall_).gil_waits);
  stall_.gil_waits = 20;  // of 5 ms each
  EXPECT_TRUE(attributor_.on_stall(stall_).gil_waits->convoy);
  stall_.gil_waits = 2;  // of 50 ms each
  EXPECT_FALSE(attributor_.on_stall(stall_).gil_waits->convoy);
  stall_.gil_waits = 100;  // of 1 ms each: the other thread lets go by itself
  EXPECT_FALSE(attributor_.on_stall(stall_).gil_waits->convoy);
  stall_.gil_waits = 10;
  stall_.causes[LS_CAUSE_GIL] = 50 * kMs;  // less than half
  EXPECT_FALSE(attributor_.on_stall(stall_).gil_waits->convoy);
}

// The loop waited for 900 ns, and this thread ended that.
std::shared_ptr<ls_waker> waker_of(const ls_wait& waited) {
  auto waker = std::make_shared<ls_waker>();
  waker->slice_start_ns = waited.start_ns;
  waker->waker_tid = 7;
  return waker;
}

TEST_F(AttributorFrames, TakesAThreadsWaitForTheInterpreterLockForTheCause) {
  stall_.causes[LS_CAUSE_LOCK] = 1000;
  stall_.wait = ls_wait{.start_ns = 50, .duration_ns = 900, .cause = LS_CAUSE_LOCK};
  auto waker = waker_of(*stall_.wait);
  waker->gil_ns = 440;
  stall_.waker = waker;
  EXPECT_EQ(attributor_.on_stall(stall_).cause, uint32_t{LS_CAUSE_LOCK});
  waker->gil_ns = 800;
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.cause, uint32_t{LS_CAUSE_GIL});
  EXPECT_EQ(report.stall.causes[LS_CAUSE_LOCK], 100U);
  EXPECT_EQ(report.waited_for->wait->cause, uint32_t{LS_CAUSE_GIL});
}

TEST_F(AttributorFrames, SeesBehindAnEventfdTheThreadThatWritesIt) {
  stall_.causes[LS_CAUSE_PIPE] = 1000;
  stall_.wait = ls_wait{.start_ns = 50,
                        .duration_ns = 900,
                        .cause = LS_CAUSE_PIPE,
                        .fd = 5,
                        .object = LS_OBJECT_EVENTFD};
  EXPECT_EQ(attributor_.on_stall(stall_).cause, uint32_t{LS_CAUSE_PIPE});  // who is not known
  auto waker = waker_of(*stall_.wait);
  stall_.waker = waker;
  EXPECT_EQ(attributor_.on_stall(stall_).cause, uint32_t{LS_CAUSE_LOCK});
  waker->wait = ls_wait{.start_ns = 60, .duration_ns = 800, .cause = LS_CAUSE_NETWORK};
  EXPECT_EQ(attributor_.on_stall(stall_).cause, uint32_t{LS_CAUSE_NETWORK});
  waker->wait.duration_ns = 100;  // too short to be what took long
  EXPECT_EQ(attributor_.on_stall(stall_).cause, uint32_t{LS_CAUSE_LOCK});
  waker->wait = ls_wait{.start_ns = 60, .duration_ns = 800, .cause = LS_CAUSE_SLEEP};
  EXPECT_EQ(attributor_.on_stall(stall_).cause, uint32_t{LS_CAUSE_LOCK});
}

TEST_F(AttributorFrames, SaysThatAThreadWorkedWhereItsWaitWasShort) {
  stall_.causes[LS_CAUSE_LOCK] = 1000;
  stall_.wait = ls_wait{.start_ns = 50, .duration_ns = 900, .cause = LS_CAUSE_LOCK};
  auto waker = waker_of(*stall_.wait);
  waker->wait = ls_wait{.start_ns = 60, .duration_ns = 22, .cause = LS_CAUSE_DISK};
  waker->ran_ns = 850;
  stall_.waker = waker;
  auto report = attributor_.on_stall(stall_);
  EXPECT_FALSE(report.waited_for->wait);
  EXPECT_EQ(report.waited_for->ran_ns, 850U);
  waker->ran_ns = 5000;  // it ran before the loop waited too
  EXPECT_EQ(attributor_.on_stall(stall_).waited_for->ran_ns, 900U);
  waker->ran_ns = 10;
  EXPECT_EQ(attributor_.on_stall(stall_).waited_for->wait->duration_ns, 22U);
}

TEST_F(AttributorFrames, TellsByTheKernelsFunctionsWhatMemoryWasWaitedFor) {
  const char* functions[] = {"__schedule", "rwsem_down_read_slowpath", "try_charge_memcg"};
  for (uint32_t i = 0; i < 3; i++) kernel_.on_function({.number = i + 1, .name = functions[i]});
  stall_.causes[LS_CAUSE_LOCK] = 1000;
  stall_.wait = ls_wait{
      .duration_ns = 900, .cause = LS_CAUSE_LOCK, .syscall = -1, .object = LS_OBJECT_MEMORY_MAP};
  stall_.kernel = {{1, 2}};
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.cause, uint32_t{LS_CAUSE_LOCK});
  EXPECT_EQ(report.wait->target, "the process's memory map");
  EXPECT_EQ(report.wait->kernel, std::vector<std::string>{"rwsem_down_read_slowpath"});
  EXPECT_EQ(find_advice(report).name, "memory_map");
  stall_.kernel = {{1, 3}};
  report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.cause, uint32_t{LS_CAUSE_OTHER});
  EXPECT_EQ(find_advice(report).name, "memory_limit");
  EXPECT_FALSE(report.host_to_blame);
}

TEST_F(AttributorFrames, NamesWhatTheKernelDid) {
  stall_.causes[LS_CAUSE_SYSTEM] = 800;
  stall_.causes[LS_CAUSE_CPU] = 200;
  auto in_kernel = [&](int syscall, uint64_t code) {
    auto one = sample(LS_STACK_OF_SAMPLE, {code});
    one.cause = LS_CAUSE_SYSTEM;
    one.syscall = syscall;
    return one;
  };
  stall_.samples = {sample(LS_STACK_OF_SAMPLE, {3}), in_kernel(__NR_clone, 2),
                    in_kernel(__NR_clone, 2), in_kernel(-1, 3)};
  stall_.minor_faults = 12;
  stall_.mapped_pages = 1 << 20;
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.cause, uint32_t{LS_CAUSE_SYSTEM});
  EXPECT_FALSE(report.host_to_blame);
  EXPECT_EQ(report.culprit->function, "fetch");
  EXPECT_EQ(report.system->call, "clone");
  EXPECT_EQ(report.system->ns, 800U);
  EXPECT_EQ(report.system->address_space, uint64_t{4} << 30);
  EXPECT_EQ(find_advice(report).name, "fork");
  stall_.samples = {in_kernel(-1, 3)};
  EXPECT_EQ(find_advice(attributor_.on_stall(stall_)).name, "minor_faults");
}

TEST_F(AttributorFrames, NamesTheHolderOfTheInterpreterLock) {
  stall_.causes[LS_CAUSE_GIL] = 1000;
  stall_.wait = ls_wait{.duration_ns = 5, .cause = LS_CAUSE_GIL};
  auto holder = sample(LS_STACK_OF_HOLDER, {3});
  holder.holder_tid = 77;
  stall_.samples = {wait_sample(LS_CAUSE_GIL, {1, 2}), holder};
  auto report = attributor_.on_stall(stall_);
  ASSERT_TRUE(report.gil_holder);
  EXPECT_EQ(report.gil_holder->tid, 77U);
  EXPECT_EQ(report.gil_holder->frames.at(0).function, "small");
  EXPECT_EQ(report.culprit->function, "fetch");
}

TEST_F(AttributorFrames, SumsTheWaitsOfACulprit) {
  stall_.causes[LS_CAUSE_SLEEP] = 900;
  stall_.causes[LS_CAUSE_NETWORK] = 100;
  stall_.wait = ls_wait{.start_ns = 30, .duration_ns = 400, .cause = LS_CAUSE_SLEEP};
  auto wait = [&](uint64_t start, uint64_t ns, uint32_t cause, uint64_t code) {
    auto one = sample(LS_STACK_OF_WAIT, {code});
    one.slice_start_ns = start;
    one.slice_ns = ns;
    one.cause = cause;
    return one;
  };
  // The longest single wait is not the culprit that waited longest.
  stall_.samples = {wait(10, 250, LS_CAUSE_SLEEP, 3), wait(20, 250, LS_CAUSE_SLEEP, 3),
                    wait(30, 400, LS_CAUSE_SLEEP, 2), wait(40, 100, LS_CAUSE_NETWORK, 2)};
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.culprit->function, "small");
  ASSERT_EQ(report.contributors.size(), 3U);
  EXPECT_EQ(report.contributors[0].ns, 500U);
  EXPECT_EQ(report.contributors[1].ns, 400U);
  EXPECT_EQ(report.contributors[2].cause, static_cast<uint32_t>(LS_CAUSE_NETWORK));
}

TEST_F(AttributorFrames, TellsCollectionsByTheFlagOfTheSample) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  auto collecting = sample(LS_STACK_OF_SAMPLE, {2});
  collecting.stack.flags = LS_STACK_IN_GC;
  stall_.samples = {collecting, collecting, collecting, sample(LS_STACK_OF_SAMPLE, {3})};
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.cause, static_cast<uint32_t>(LS_CAUSE_GC));
  EXPECT_EQ(report.stall.causes[LS_CAUSE_GC], 750U);
  EXPECT_EQ(report.stall.causes[LS_CAUSE_CPU], 250U);
  EXPECT_EQ(report.culprit->function, "fetch");
  uint64_t moved = 0;
  for (const MovedTime& move : report.moved) moved += move.ns;
  EXPECT_EQ(moved, 750U);
}

TEST_F(AttributorFrames, BlamesTheHolderForALockThatTheLoopItselfWaitsFor) {
  stall_.causes[LS_CAUSE_GIL] = 1000;
  stall_.wait = ls_wait{.duration_ns = 1000, .cause = LS_CAUSE_GIL};
  stall_.samples = {wait_sample(LS_CAUSE_GIL, {1, 7, 8, 9}), sample(LS_STACK_OF_HOLDER, {1, 3})};
  auto report = attributor_.on_stall(stall_);
  ASSERT_TRUE(report.culprit);
  EXPECT_EQ(report.culprit->function, "small");
  EXPECT_EQ(report.rule, CulpritRule::kHolder);
  EXPECT_EQ(report.contributors.at(0).frame.function, "small");
  stall_.samples[0] = wait_sample(LS_CAUSE_GIL, {2, 6, 7, 8, 9});
  report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.culprit->function, "fetch");
}

TEST_F(AttributorFrames, NamesTheLineWithMostOfTheTimeOfTheFunctionWithMost) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  ls_code record{};
  record.header.tgid = 10;
  record.code = 20;
  record.first_line = 100;
  record.name.state = record.filename.state = 1 << 2;
  record.name.length = 7;
  std::memcpy(record.name.bytes, "handler", 7);
  record.filename.length = 11;
  std::memcpy(record.filename.bytes, "/srv/app.py", 11);
  // co_lnotab of 3.9: each two bytes of code are one line more.
  for (int byte : {2, 1, 2, 1, 2, 1})
    record.lines[record.lines_size++] = static_cast<unsigned char>(byte);
  codes_.on_code(record);
  ProcessFacts facts;
  facts.tgid = 10;
  facts.python = "3.9.2";
  workloads_.on_facts(facts);
  auto at = [&](uint32_t offset) {
    auto one = sample(LS_STACK_OF_SAMPLE, {20});
    one.stack.frames[0].offset = offset;
    return one;
  };
  stall_.samples = {at(2), at(4), at(4), at(4), sample(LS_STACK_OF_SAMPLE, {3})};
  auto report = attributor_.on_stall(stall_);
  EXPECT_EQ(report.culprit->function, "handler");
  EXPECT_EQ(report.culprit->line, 102U);
  ASSERT_EQ(report.contributors.size(), 3U);
  EXPECT_EQ(report.contributors[0].frame.line, 102U);
  EXPECT_EQ(report.contributors[0].ns, 600U);
}

TEST_F(AttributorFrames, PrefersTheFunctionThatTheLoopRanToTheLoopsOwnWork) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  for (int i = 0; i < 8; i++) stall_.samples.push_back(sample(LS_STACK_OF_SAMPLE, {6, 7, 8, 9}));
  stall_.samples.push_back(sample(LS_STACK_OF_SAMPLE, {3, 6, 7, 8, 9}));
  EXPECT_EQ(attributor_.on_stall(stall_).culprit->function, "small");
  stall_.samples.pop_back();
  EXPECT_EQ(attributor_.on_stall(stall_).culprit->function, "Handle._run");
}

TEST_F(AttributorFrames, TellsOneSlowCallbackFromManySmallOnes) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  for (uint32_t i = 0; i < 10; i++) {
    auto one = sample(LS_STACK_OF_SAMPLE, {3});
    one.time_ns = i * 100 + 50;
    one.stack.ready = 60'000;
    one.stack.ready_index = i * 6000 + 3000;
    stall_.samples.push_back(one);
  }
  auto report = attributor_.on_stall(stall_);
  ASSERT_TRUE(report.callbacks);
  EXPECT_EQ(report.callbacks->count, 60'000U);
  EXPECT_EQ(report.callbacks->largest_share, 0);  // none was met twice
  EXPECT_NEAR(report.callbacks->largest_at_most, 0.2, 1e-6);
  EXPECT_EQ(find_advice(report).name, "many_callbacks");
  // A short stall is met less often.
  Stall brief = stall_;
  brief.end_ns = 300;
  brief.samples.resize(2);
  for (StackSample& one : brief.samples) one.stack.ready = 18'000;
  EXPECT_EQ(find_advice(attributor_.on_stall(brief)).name, "many_callbacks");
  for (StackSample& one : stall_.samples) one.stack.ready_index = 7;
  report = attributor_.on_stall(stall_);
  EXPECT_NEAR(report.callbacks->largest_share, 0.9, 1e-6);
  EXPECT_NEAR(report.callbacks->largest_at_most, 1, 1e-6);
  EXPECT_EQ(find_advice(report).name, "cpu");
}

TEST_F(AttributorFrames, NamesTheTaskAndWhatItCalls) {
  stall_.causes[LS_CAUSE_SLEEP] = 1000;
  stall_.wait = ls_wait{.duration_ns = 1000, .cause = LS_CAUSE_SLEEP};
  auto wait = sample(LS_STACK_OF_WAIT, {2, 6});
  wait.cause = LS_CAUSE_SLEEP;
  std::strcpy(wait.stack.callee, "sle\x1b");
  stall_.samples = {wait};
  // Else the function that the loop called, be it through methods of its own.
  stall_.samples[0].stack.frames[2].code = 7;
  stall_.samples[0].stack.count = 3;
  EXPECT_EQ(attributor_.on_stall(stall_).task, "fetch");
  EXPECT_EQ(attributor_.on_stall(stall_).callee, "sle?");
  stall_.samples[0].stack.task_number = 12;
  EXPECT_EQ(attributor_.on_stall(stall_).task, "Task-12");
  ls_stack& stack = stall_.samples[0].stack;
  stack.task_number = 0;
  stack.task_state = 1 << 2;
  stack.task_length = 3;
  std::memcpy(stack.task, "job", 3);
  EXPECT_EQ(attributor_.on_stall(stall_).task, "job");
}

TEST_F(AttributorFrames, SaysThatAStackWasCut) {
  stall_.causes[LS_CAUSE_CPU] = 1000;
  stall_.samples = {sample(LS_STACK_OF_SAMPLE, {2})};
  EXPECT_FALSE(attributor_.on_stall(stall_).frames_cut);
  stall_.samples[0].stack.end = LS_STACK_CUT;
  EXPECT_TRUE(attributor_.on_stall(stall_).frames_cut);
}

}  // namespace
}  // namespace loopsight
