// A process that has nothing to do with Python, to see what it pays: nanoseconds of a context
// switch, getppid, a read of /dev/zero and an empty epoll_wait, on one CPU.
//
//   unrelated CPU
//
// Each line "SLICES MICROSECONDS" on standard input is one measurement; the answer is one line with
// four figures, each the 20th percentile of its slices: what else runs only makes a slice longer.
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

// A byte goes to a child and back: two switches.
class PingPong {
 public:
  bool start() {
    if (pipe(to_child_.data()) != 0 || pipe(from_child_.data()) != 0) return false;
    pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(to_child_[1]);
      char byte = 0;
      while (read(to_child_[0], &byte, 1) == 1 && write(from_child_[1], &byte, 1) == 1) {
      }
      _exit(0);
    }
    return true;
  }

  void round() {
    char byte = 0;
    if (write(to_child_[1], &byte, 1) != 1 || read(from_child_[0], &byte, 1) != 1) std::abort();
  }

 private:
  std::array<int, 2> to_child_{};
  std::array<int, 2> from_child_{};
};

// Nanoseconds of one call, the 20th percentile of some slices.
template <typename Call>
double measure(int slices, int microseconds, Call call) {
  constexpr int kBatch = 16;
  std::vector<double> each;
  for (int slice = 0; slice < slices; slice++) {
    auto begin = Clock::now();
    auto now = begin;
    uint64_t calls = 0;
    do {
      for (int i = 0; i < kBatch; i++) call();
      calls += kBatch;
      now = Clock::now();
    } while (now - begin < std::chrono::microseconds(microseconds));
    each.push_back(std::chrono::duration<double, std::nano>(now - begin).count() /
                   static_cast<double>(calls));
  }
  std::sort(each.begin(), each.end());
  return each[each.size() / 5];
}

}  // namespace

int main(int argc, char** argv) {
  int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  PingPong ping_pong;
  if (argc != 2 || zero < 0 || epoll < 0 || !pin(std::atoi(argv[1])) || !ping_pong.start()) {
    std::fputs("usage: unrelated CPU\n", stderr);
    return 2;
  }
  int slices = 0;
  int microseconds = 0;
  while (std::scanf("%d %d", &slices, &microseconds) == 2 && slices > 0) {
    char byte = 0;
    epoll_event event{};
    double round = measure(slices, microseconds, [&] { ping_pong.round(); });
    double parent = measure(slices, microseconds, [] { syscall(SYS_getppid); });
    double reading = measure(slices, microseconds, [&] {
      if (read(zero, &byte, 1) != 1) std::abort();
    });
    double polling = measure(slices, microseconds, [&] { epoll_wait(epoll, &event, 1, 0); });
    std::printf("%.2f %.2f %.2f %.2f\n", round / 2, parent, reading, polling);
    std::fflush(stdout);
  }
  return 0;
}
