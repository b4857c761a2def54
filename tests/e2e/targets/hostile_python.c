// Pretends to be CPython 3.11 with an asyncio loop, and shows a frame walker memory that no CPython
// has, in one of several ways. Built and run by test_hostile.py:
//
//   cc -rdynamic -o hostile_python hostile_python.c && ./hostile_python MODE [FILE]
//
// Eight iterations: a poll call, then 120 ms of sleep in a "callback" with the hostile frames.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

const uint32_t Py_Version = 0x030b02f0;
char PyCode_Type[512];
char _PyRuntime[4096];

// Where 3.11 keeps what a walk reads.
enum {
  kInterpreters = 40,
  kThreads = 16,
  kThreadNext = 8,
  kThreadInterpreter = 16,
  kThreadCframe = 56,
  kThreadId = 152,
  kCframeFrame = 8,
  kFrameCode = 32,
  kFramePrevious = 48,
  kFrameInstruction = 56,
  kFrameLocals = 72,
  kCodeFirstLine = 72,
  kCodeFile = 112,
  kCodeName = 128,
  kCodeLines = 136,
  kCodeAdaptive = 184,
};

static char interpreter[4096], state[4096], cframe[64];

static void set(void *object, size_t offset, const void *value) {
  memcpy((char *)object + offset, &value, sizeof(value));
}

static void *text(const char *bytes, uint64_t length, uint32_t kind, uint32_t ascii) {
  char *object = calloc(1, 4096);
  uint32_t word = kind << 2 | ascii << 6;
  memcpy(object + 16, &length, sizeof(length));
  memcpy(object + 32, &word, sizeof(word));
  memcpy(object + (ascii ? 48 : 72), bytes, strlen(bytes) + 1);
  return object;
}

static void *plain(const char *bytes) { return text(bytes, strlen(bytes), 1, 1); }

static void *lines(const char *data, uint64_t size, uint64_t told) {
  char *object = calloc(1, 64 + size);
  memcpy(object + 16, &told, sizeof(told));
  memcpy(object + 32, data, size);
  return object;
}

static char *code(void *name, void *file, void *table) {
  char *object = calloc(1, 4096);
  uint32_t first = 7;
  set(object, 8, PyCode_Type);
  set(object, 16, (void *)(uintptr_t)rand());
  memcpy(object + kCodeFirstLine, &first, sizeof(first));
  set(object, kCodeFile, file);
  set(object, kCodeName, name);
  set(object, kCodeLines, table);
  return object;
}

static char *frame(char *its_code, void *previous) {
  char *object = calloc(1, 512);
  set(object, kFrameCode, its_code);
  set(object, kFramePrevious, previous);
  set(object, kFrameInstruction, its_code + kCodeAdaptive + 2);
  return object;
}

static char *good_code(const char *name) {
  return code(plain(name), plain("/srv/hostile.py"), lines("\x80\x00", 2, 2));
}

static void *hostile_frames(const char *mode, const char *file, void *base) {
  char *one = frame(good_code("victim"), base);
  if (!strcmp(mode, "good")) return one;
  if (!strcmp(mode, "cyclic_frames")) {
    char *two = frame(good_code("other"), one);
    set(one, kFramePrevious, two);
    return one;
  }
  if (!strcmp(mode, "wild_frame")) {
    set(one, kFramePrevious, (void *)0xdeadbeef0000);
    return one;
  }
  if (!strcmp(mode, "kernel_frame")) {
    set(one, kFramePrevious, (void *)0xffff888000000000);
    return one;
  }
  if (!strcmp(mode, "wild_code")) {
    set(one, kFrameCode, (void *)0x7fffdeadb000);
    return one;
  }
  if (!strcmp(mode, "wild_object")) {  // readable, and of another type
    set(one, kFrameCode, memcpy(calloc(1, 4096), good_code("victim"), 4096));
    set(*(char **)(one + kFrameCode), 8, interpreter);
    return one;
  }
  if (!strcmp(mode, "wild_names"))
    return frame(code((void *)0x10, (void *)0xffffffffffffff00, (void *)0x1234567890), base);
  if (!strcmp(mode, "huge_lengths"))
    return frame(code(text("n", UINT64_MAX, 1, 1), text("f", UINT64_MAX / 2, 4, 0),
                      lines("\xf0\xff", 2, UINT64_MAX)),
                 base);
  if (!strcmp(mode, "bad_kinds"))
    return frame(code(text("name", 4, 7, 0), text("file", 4, 3, 1), lines("", 0, 0)), base);
  if (!strcmp(mode, "invalid_text")) {
    // Lone surrogates, code points beyond Unicode, control characters, HTML.
    char *pairs = text("\x01\xd8\x02\xdc", 40, 2, 0);
    char *wide = text("\xff\xff\xff\xff", 12, 4, 0);
    void *previous = frame(code(plain("<script>alert(1)</script>\x1b[2J\n"),
                                plain("/srv/\r\n\x07.py"), lines("\x80\x00", 2, 2)),
                           base);
    return frame(code(pairs, wide, lines("\x80\x00", 2, 2)), previous);
  }
  if (!strcmp(mode, "garbage_lines")) {
    char *garbage = malloc(3000);
    for (int i = 0; i < 3000; i++) garbage[i] = (char)rand();
    garbage[0] = (char)0xf7;
    char *its_code = code(plain("victim"), plain("/srv/hostile.py"), lines(garbage, 3000, 3000));
    char *far = frame(its_code, base);
    set(far, kFrameInstruction, its_code + kCodeAdaptive + 6000);  // past hundreds of entries
    return far;
  }
  if (!strcmp(mode, "deep")) {
    for (int i = 0; i < 100000; i++)
      one = frame(i ? *(char **)(one + kFrameCode) : good_code("deep"), one);
    return one;
  }
  if (!strcmp(mode, "source_file"))  // the columns 0 to 15 of its line 7
    return frame(code(plain("victim"), plain(file), lines("\xf7\x00\x00\x01\x10", 5, 5)), base);
  if (!strcmp(mode, "cyclic_threads") || !strcmp(mode, "wild_threads")) return one;
  fprintf(stderr, "no mode %s\n", mode);
  exit(2);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "good";
  int poll = epoll_create1(0);
  struct epoll_event event;
  struct timespec time = {0, 120000000};
  set(_PyRuntime, kInterpreters, interpreter);
  set(interpreter, kThreads, state);
  set(state, kThreadInterpreter, interpreter);
  set(state, kThreadCframe, cframe);
  set(state, kThreadId, (void *)pthread_self());
  char *run_once =
      frame(code(plain("BaseEventLoop._run_once"),
                 plain("/usr/lib/python3.11/asyncio/base_events.py"), lines("\x80\x00", 2, 2)),
            NULL);
  char *select = frame(code(plain("EpollSelector.select"),
                            plain("/usr/lib/python3.11/selectors.py"), lines("\x80\x00", 2, 2)),
                       run_once);
  char *hostile = hostile_frames(mode, argc > 2 ? argv[2] : "", run_once);
  // A program of nobody's.
  if (!strcmp(mode, "source_file") && (setgid(65534) != 0 || setuid(65534) != 0)) return 1;
  for (int i = 0; i < 12; i++) {
    set(cframe, kCframeFrame, select);
    epoll_wait(poll, &event, 1, 30);
    if (i < 4) continue;  // the loop is found first
    set(cframe, kCframeFrame, hostile);
    // What the locals of _run_once lead to is hostile too.
    for (int slot = 0; slot < 12; slot++)
      set(run_once, kFrameLocals + 8 * slot, slot % 2 ? (void *)0x4141414141414141 : hostile);
    if (!strcmp(mode, "cyclic_threads")) {
      set(state, kThreadId, (void *)0x1);
      set(state, kThreadNext, state);
    }
    if (!strcmp(mode, "wild_threads")) set(interpreter, kThreads, (void *)0xffffffff81000000);
    nanosleep(&time, NULL);
    set(interpreter, kThreads, state);
    set(state, kThreadId, (void *)pthread_self());
  }
  set(cframe, kCframeFrame, select);
  epoll_wait(poll, &event, 1, 30);  // ends the last callback
  return 0;
}
