// A thread that polls all day and runs no Python, as those of gRPC and librdkafka do, for a Python
// process to load.
#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

// Nanoseconds of an empty epoll_wait in a thread of its own: the 20th percentile of some slices.
extern "C" double native_poll_ns(int slices, int microseconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> each;
  std::thread([&] {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    for (int slice = 0; slice < slices; slice++) {
      auto begin = Clock::now();
      auto now = begin;
      long calls = 0;
      do {
        for (int i = 0; i < 16; i++) epoll_wait(epoll, &event, 1, 0);
        calls += 16;
        now = Clock::now();
      } while (now - begin < std::chrono::microseconds(microseconds));
      each.push_back(std::chrono::duration<double, std::nano>(now - begin).count() /
                     static_cast<double>(calls));
    }
  }).join();
  std::sort(each.begin(), each.end());
  return each[each.size() / 5];
}
