// A library that says to be CPython 3.13 and tells nonsense of where it keeps its threads and
// frames: every offset is OFFSET, but for those of a thread's identity and of a frame's owner,
// which are the words behind it. Built by test_hostile.py as a library, and once more (-DPROGRAM)
// as the program that maps it, polls through it on a wake-up channel as a loop does, and stalls:
//
//   cc -shared -fPIC -DOFFSET=8 -o libpython3.13.so.1.0 fake_libpython.c
//   cc -DPROGRAM -DOFFSET=8 -o fake fake_libpython.c
#include <stdint.h>
#include <sys/epoll.h>

#ifndef PROGRAM
const uint32_t Py_Version = 0x030d00f0;
char PyCode_Type[512];
#define ALL(n) OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET
uint64_t _PyRuntime[512] = {0x7970677562656478, 0x030d00f0, 0, ALL(0), ALL(1), ALL(2), ALL(3),
                            ALL(4), ALL(5), ALL(6), ALL(7), ALL(8), ALL(9), ALL(10), ALL(11),
                            // Where 3.13 keeps the offsets of thread_id and of owner.
                            [24] = OFFSET + 8, [33] = OFFSET + 16};

int poll_once(int poll) {
  struct epoll_event event;
  volatile int got = epoll_wait(poll, &event, 1, 30);  // no tail call: the caller must be seen
  return got;
}
#else
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

int main(int argc, char **argv) {
  struct epoll_event event = {.events = EPOLLIN};
  struct timespec time = {0, 120000000};
  int poll = epoll_create1(0);
  void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
  uint64_t *runtime = library ? dlsym(library, "_PyRuntime") : NULL;
  int (*poll_once)(int) = library ? (int (*)(int))dlsym(library, "poll_once") : NULL;
  int channel[2];
  if (!runtime || !poll_once) {
    fprintf(stderr, "no library: %s\n", dlerror());
    return 1;
  }
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) != 0 ||
      epoll_ctl(poll, EPOLL_CTL_ADD, channel[0], &event) != 0)
    return 1;
  // Interpreter, thread state, frame and code object are all the same place, and follow themselves;
  // the file keeps the offsets that it was read with.
  for (int i = 0; i < 512; i++) runtime[i] = (uint64_t)(runtime + 100);
  if (OFFSET < 2000) {
    runtime[100 + OFFSET / 8 + 1] = (uint64_t)pthread_self();
    runtime[100 + OFFSET / 8 + 2] = 0;
  }
  for (int i = 0; i < 9; i++) {
    poll_once(poll);
    if (i > 2) nanosleep(&time, NULL);
  }
  poll_once(poll);
  return 0;
}
#endif
