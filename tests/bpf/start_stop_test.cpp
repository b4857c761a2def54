// What `loopsight run` does from its start to its end, again and again in one process: nothing may
// be left behind in the process or in the kernel. A hundred times with LOOPSIGHT_ROUNDS=100, as
// tests/sanitize/run does: the kernel takes about a second to check the programs each time.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/live/live_source.h"
#include "daemon/probe/tracer.h"
#include "daemon/sink/metrics.h"
#include "daemon/sink/publication.h"
#include "daemon/web/api.h"
#include "daemon/web/endpoints.h"
#include "daemon/web/http_server.h"
#include "daemon/web/listener.h"

namespace loopsight {
namespace {

using Ids = std::set<uint32_t>;

int rounds() {
  const char* given = std::getenv("LOOPSIGHT_ROUNDS");
  return given ? std::max(std::atoi(given), 4) : 10;
}

// AddressSanitizer has a heap of its own, and looks for leaks itself. Of glibc's heap, what a
// thread's cache keeps (glibc.malloc.tcache_count) counts as used: that grows by some 10 kB in the
// first rounds until it is full, and by 2 kB with each arena that is begun for a thread.
size_t heap_bytes() {
#ifdef __SANITIZE_ADDRESS__
  return 0;
#else
  return mallinfo2().uordblks;
#endif
}

size_t entries(const char* folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) count++;
  return count;
}

// The BPF objects of the host, by id: those that this process loads while it runs are ours by name.
struct Kernel {
  static Ids all(int (*next)(uint32_t, uint32_t*)) {
    Ids ids;
    for (uint32_t id = 0; next(id, &id) == 0;) ids.insert(id);
    return ids;
  }

  static std::string program_name(uint32_t id) {
    bpf_prog_info info{};
    return name_of(bpf_prog_get_fd_by_id(id), info);
  }
  static std::string map_name(uint32_t id) {
    bpf_map_info info{};
    return name_of(bpf_map_get_fd_by_id(id), info);
  }

  template <typename Info>
  static std::string name_of(int descriptor, Info& info) {
    Fd fd(descriptor);
    uint32_t size = sizeof(info);
    if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return "";
    return info.name;
  }

  // The names of what has come since.
  std::set<std::string> since() const {
    std::set<std::string> names;
    for (uint32_t id : all(bpf_prog_get_next_id))
      if (!programs.contains(id)) names.insert("program " + program_name(id));
    for (uint32_t id : all(bpf_map_get_next_id))
      if (!maps.contains(id)) names.insert("map " + map_name(id));
    return names;
  }

  Ids programs = all(bpf_prog_get_next_id);
  Ids maps = all(bpf_map_get_next_id);
};

// A program with an event loop, so that there is something to attach to.
class Target {
 public:
  Target() {
    std::string code =
        "import asyncio, time\n"
        "async def main():\n"
        "    while True:\n"
        "        await asyncio.sleep(0.01)\n"
        "        time.sleep(0.025)\n"
        "asyncio.run(main())\n";
    std::vector<std::string> words = {"/usr/bin/python3", "-c", code};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    if (posix_spawn(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0)
      pid_ = 0;
  }
  ~Target() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

 private:
  pid_t pid_ = 0;
};

class StartStop : public testing::Test {
 protected:
  // One life of the daemon; `while_it_runs` sees it attached.
  template <typename WhileItRuns>
  void live_once(WhileItRuns while_it_runs) {
    constexpr uint64_t kThresholdNs = 20'000'000;
    Publication publication(WallClock::live(), host_name());
    Metrics metrics(publication, "test");
    auto tracer = Tracer::open({.threshold_ns = kThresholdNs});
    ASSERT_TRUE(tracer) << tracer.error().message;
    Pipeline pipeline(kThresholdNs, {&publication});
    LiveSource source(*tracer, pipeline, nullptr, ProbeOptions{});
    auto attached = tracer->attach();
    ASSERT_TRUE(attached) << attached.error().message;
    ASSERT_TRUE(source.scan());
    auto listener = open_listener("127.0.0.1:0");
    ASSERT_TRUE(listener) << listener.error().message;
    Routes routes;
    add_endpoints(routes, publication, metrics);
    add_api(routes, publication, "test");
    auto server = HttpServer::start(
        {.address = "127.0.0.1:0", .listener = std::move(listener->socket)}, std::move(routes));
    ASSERT_TRUE(server) << server.error().message;
    ASSERT_TRUE(source.poll(40));
    ASSERT_TRUE(source.tick(monotonic_now_ns()));
    publication.publish(source.snapshot());
    while_it_runs();
    ASSERT_TRUE(source.finish(monotonic_now_ns()));
  }
};

TEST_F(StartStop, LeavesNothingBehind) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
  Target target;
  Kernel before;
  std::set<std::string> ours;
  live_once([&] { ours = before.since(); });  // whatever is set up once for all is, after this
  ASSERT_TRUE(ours.contains("program sched_switch"));
  size_t descriptors = entries("/proc/self/fd");
  size_t threads = entries("/proc/self/task");
  size_t heap = 0;
  for (int round = 1; round < rounds() && !HasFatalFailure(); round++) {
    if (round == 3) heap = heap_bytes();
    live_once([] {});
  }
  size_t grown = heap_bytes() - std::min(heap, heap_bytes());
  RecordProperty("heap_grown_bytes", std::to_string(grown));
  EXPECT_LT(grown, 64U << 10);
  EXPECT_EQ(entries("/proc/self/fd"), descriptors);
  EXPECT_EQ(entries("/proc/self/task"), threads);
  // The kernel frees what nobody holds any more a while later.
  std::set<std::string> left;
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    left.clear();
    for (const std::string& name : before.since())
      if (ours.contains(name)) left.insert(name);
  } while (!left.empty() && std::chrono::steady_clock::now() < end);
  EXPECT_EQ(left, std::set<std::string>());
}

}  // namespace
}  // namespace loopsight
