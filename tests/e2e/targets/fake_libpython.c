// A library that says to be CPython 3.13 and tells nonsense of where it keeps its threads and
// frames: every offset is OFFSET. Built by test_hostile.py as a library, and once more (-DPROGRAM)
// as the program that maps it and stalls:
//
//   cc -shared -fPIC -DOFFSET=8 -o libpython3.13.so.1.0 fake_libpython.c
#include <stdint.h>

#ifndef PROGRAM
const uint32_t Py_Version = 0x030d00f0;
char PyCode_Type[512];
#define ALL(n) OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET, OFFSET
uint64_t _PyRuntime[512] = {0x7970677562656478,
                            0x030d00f0,
                            0,
                            ALL(0),
                            ALL(1),
                            ALL(2),
                            ALL(3),
                            ALL(4),
                            ALL(5),
                            ALL(6),
                            ALL(7),
                            ALL(8),
                            ALL(9),
                            ALL(10),
                            ALL(11)};
#else
#include <dlfcn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>

int main(int argc, char **argv) {
  struct epoll_event event;
  struct timespec time = {0, 120000000};
  int poll = epoll_create1(0);
  void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
  uint64_t *runtime = library ? dlsym(library, "_PyRuntime") : NULL;
  if (!runtime) {
    fprintf(stderr, "no library: %s\n", dlerror());
    return 1;
  }
  // Wherever a walk goes, it comes back.
  for (int i = 200; i < 512; i++) runtime[i] = (uint64_t)(runtime + i % 2 * 100);
  for (int i = 0; i < 9; i++) {
    epoll_wait(poll, &event, 1, 30);
    if (i > 2) nanosleep(&time, NULL);
  }
  epoll_wait(poll, &event, 1, 30);
  return 0;
}
#endif
