// Maps a file as an interpreter's is mapped, and changes the file's length while it is read:
//
//   flickering_file ELF SECONDS
//
// ELF is copied to "flicker" in the working directory. Processes that map the copy poll, one after
// another, each for long enough to be looked at; the parent cuts the copy and writes it anew.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void poll_for_a_while(int file) {
  struct epoll_event event;
  int poll = epoll_create1(0);
  // Never touched: the pages go with the file's length.
  if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED) _exit(1);
  for (int i = 0; i < 20; i++) epoll_wait(poll, &event, 1, 10);
  _exit(0);
}

int main(int argc, char **argv) {
  static char content[1 << 20];
  if (argc != 3) return 2;
  int from = open(argv[1], O_RDONLY);
  ssize_t size = read(from, content, sizeof(content));
  int file = open("flicker", O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (size <= 0 || file < 0 || pwrite(file, content, (size_t)size, 0) != size) return 1;
  double end = now() + atof(argv[2]);
  int children = 0;
  for (unsigned round = 0; now() < end; round++) {
    if (children < 4 && round % 50 == 0) {
      if (fork() == 0) poll_for_a_while(file);
      children++;
    }
    if (waitpid(-1, NULL, WNOHANG) > 0) children--;
    // Cut in its headers, its tables, its text.
    if (ftruncate(file, (off_t)((unsigned)rand() % (unsigned)size)) != 0) return 1;
    if (pwrite(file, content, (size_t)size, 0) != size) return 1;
  }
  while (wait(NULL) > 0) {
  }
  return 0;
}
