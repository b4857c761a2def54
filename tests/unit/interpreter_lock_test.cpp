#include "daemon/python/interpreter_lock.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_memory.h"

namespace loopsight {
namespace {

TEST(InterpreterLock, SaysWhoHasItAndWhoWaits) {
  for (int minor : {9, 11, 12}) {
    FakePython fake(minor);
    auto states = fake.threads({0, 0});
    uint64_t interpreter = fake.allot(4096);
    fake.memory.word(states[1] + fake.python.thread_interpreter, interpreter);
    uint64_t lock = fake.python.runtime + fake.python.runtime_gil;
    if (fake.python.interpreter_gil != LS_NO_OFFSET) {
      lock = fake.allot(512);
      fake.memory.word(interpreter + fake.python.interpreter_gil, lock);
    }
    fake.memory.word(lock + fake.python.gil_holder, states[0]);
    fake.memory.word(lock + fake.python.gil_holder + 8, 1);
    RemoteMemory memory = fake.memory.remote();
    InterpreterLock seen = read_interpreter_lock(memory, fake.python, states[1]);
    EXPECT_EQ(seen.address, lock) << minor;
    EXPECT_EQ(seen.holder, states[0]);
    EXPECT_TRUE(seen.is_locked);
    EXPECT_FALSE(seen.is_collecting);
    uint64_t condition = lock + fake.python.gil_holder + 24;
    EXPECT_TRUE(is_of_lock(memory, fake.python, seen, condition + 40));
    EXPECT_FALSE(is_of_lock(memory, fake.python, seen, condition - 8));
    EXPECT_FALSE(is_of_lock(memory, fake.python, seen, condition + 176));
    EXPECT_FALSE(is_of_lock(memory, fake.python, {}, condition));
  }
}

TEST(InterpreterLock, FollowsTheWaitersOfMusl) {
  FakePython fake(11);
  fake.python.flags |= LS_PYTHON_MUSL;
  uint64_t lock = fake.python.runtime + fake.python.runtime_gil;
  uint64_t state = fake.threads({0})[0];
  InterpreterLock seen = read_interpreter_lock(fake.memory.remote(), fake.python, state);
  uint64_t second = lock + fake.python.gil_holder + 24 + 88;
  uint64_t first_node = fake.allot(64);
  uint64_t other_node = fake.allot(64);
  fake.memory.word(second + 8, first_node);
  fake.memory.word(first_node + 8, other_node);
  RemoteMemory memory = fake.memory.remote();
  EXPECT_TRUE(is_of_lock(memory, fake.python, seen, other_node + 20));
  EXPECT_FALSE(is_of_lock(memory, fake.python, seen, other_node + 24));
  // A list that leads back to itself ends all the same.
  fake.memory.word(other_node + 8, first_node);
  EXPECT_FALSE(is_of_lock(memory, fake.python, seen, 0x1234));
}

}  // namespace
}  // namespace loopsight
