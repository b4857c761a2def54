#include "daemon/python/interpreter_lock.h"

namespace loopsight {
namespace {

// The two conditions and mutexes stand in 176 bytes from the 24th after last_holder, the second
// condition 88 bytes after the first (Python/ceval_gil.h, x86-64).
constexpr uint64_t kConditionsAt = 24;
constexpr uint64_t kConditionsBytes = 176;
constexpr uint64_t kSecondConditionAt = 88;

// musl's condition variables keep a list of the waiters, each of which waits on a word in its own
// node (struct waiter in pthread_cond_timedwait.c of musl 1.2.3: prev, next, state, barrier).
bool waits_on_musl(const RemoteMemory& memory, uint64_t condition, uint64_t futex) {
  constexpr int kMostWaiters = 1024;
  uint64_t node = memory.word(condition + 8);  // _c_head
  for (int i = 0; i < kMostWaiters && node != 0; i++) {
    if (node + 20 == futex) return true;
    node = memory.word(node + 8);
  }
  return false;
}

}  // namespace

InterpreterLock read_interpreter_lock(const RemoteMemory& memory, const ls_python& python,
                                      uint64_t thread) {
  InterpreterLock lock;
  uint64_t interpreter = memory.word(thread + python.thread_interpreter);
  uint64_t address = python.runtime + python.runtime_gil;
  if (python.interpreter_gil != LS_NO_OFFSET)
    address = interpreter != 0 ? memory.word(interpreter + python.interpreter_gil) : 0;
  if (address == 0) return lock;
  if (python.gil_enabled != LS_NO_OFFSET &&
      memory.value<uint32_t>(address + python.gil_enabled).value_or(0) == 0)
    return lock;
  lock.address = address;
  lock.holder = memory.word(address + python.gil_holder);
  lock.is_locked = memory.value<uint32_t>(address + python.gil_holder + 8).value_or(0) == 1;
  uint64_t collecting = python.runtime_collecting != LS_NO_OFFSET
                            ? python.runtime + python.runtime_collecting
                            : interpreter + python.interpreter_collecting;
  lock.is_collecting = memory.value<uint32_t>(collecting).value_or(0) != 0;
  return lock;
}

bool is_of_lock(const RemoteMemory& memory, const ls_python& python, const InterpreterLock& lock,
                uint64_t futex) {
  if (lock.address == 0) return false;
  uint64_t conditions = lock.address + python.gil_holder + kConditionsAt;
  if (futex - conditions < kConditionsBytes) return true;
  return (python.flags & LS_PYTHON_MUSL) != 0 &&
         (waits_on_musl(memory, conditions, futex) ||
          waits_on_musl(memory, conditions + kSecondConditionAt, futex));
}

}  // namespace loopsight
