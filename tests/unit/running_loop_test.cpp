#include "daemon/python/running_loop.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_memory.h"

namespace loopsight {
namespace {

TEST(RunningLoopType, IsReadFromTheThreadsDict) {
  for (int minor : {8, 11, 12}) {
    FakePython fake(minor);
    uint64_t loop = fake.object(fake.type("Loop", 0));
    uint64_t value = loop;
    if (minor <= 11) {
      value = fake.object(fake.type("_asyncio._RunningLoopHolder", 0));
      fake.memory.word(value + fake.python.object_bytes, loop);
    }
    uint64_t dict = fake.object(fake.type("dict", 0));
    uint64_t keys = fake.keys({fake.text("other"), fake.text("__asyncio_running_event_loop__")},
                              {fake.text("x"), value});
    fake.memory.word(dict + fake.python.object_bytes + 16, keys);
    uint64_t state = fake.threads({fake.frame(fake.code("f", "f.py"), 0)})[0];
    RemoteMemory memory = fake.memory.remote();
    EXPECT_EQ(running_loop_type(memory, fake.python, state), "") << minor;
    fake.memory.word(state + fake.python.thread_dict, dict);
    EXPECT_EQ(running_loop_type(memory, fake.python, state), "Loop") << minor;
    // None: it has ended.
    fake.memory.word(loop + fake.python.object_type, fake.type("NoneType", 0));
    EXPECT_EQ(running_loop_type(memory, fake.python, state), "") << minor;
  }
}

Frame frame(const char* function, const char* file) { return {.function = function, .file = file}; }

const std::vector<Frame> kMain = {frame("stuck", "/srv/app.py"), frame("<module>", "/srv/app.py")};
const std::vector<Frame> kGreenlet = {frame("stuck", "/srv/app.py"), frame("work", "/srv/app.py")};
constexpr HidingLibraries kUvloop = {.uvloop = true};
constexpr HidingLibraries kGevent = {.gevent = true};

TEST(HiddenLoop, IsUvloopsWhereAsyncioSaysThatALoopRuns) {
  auto found = find_hidden_loop(kMain, "Loop", true, kUvloop);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, LoopKind::kUvloop);
  EXPECT_FALSE(found->in_greenlet);
  EXPECT_FALSE(find_hidden_loop(kMain, "", true, kUvloop));
  EXPECT_FALSE(find_hidden_loop(kMain, "Loop", true, {}));
  EXPECT_FALSE(find_hidden_loop({}, "Loop", true, kUvloop));
}

TEST(HiddenLoop, IsAsynciosBelowAGreenlet) {
  auto found = find_hidden_loop(kGreenlet, "_UnixSelectorEventLoop", true, kUvloop);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, LoopKind::kAsyncio);
  EXPECT_TRUE(found->in_greenlet);
}

TEST(HiddenLoop, IsAGreenletsHub) {
  auto found = find_hidden_loop(kGreenlet, "", true, kGevent);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, LoopKind::kGevent);
  // The main greenlet may be no hub's at all, and native threads call Python from anywhere.
  EXPECT_FALSE(find_hidden_loop(kMain, "", true, kGevent));
  EXPECT_FALSE(find_hidden_loop(kGreenlet, "", false, kGevent));
  EXPECT_FALSE(find_hidden_loop(kGreenlet, "", true, {}));
  std::vector<Frame> thread = {frame("stuck", "/srv/app.py"),
                               frame("Thread._bootstrap", "/usr/lib/python3.11/threading.py")};
  EXPECT_FALSE(find_hidden_loop(thread, "", true, kGevent));
  std::vector<Frame> green = {frame("stuck", "/srv/app.py"),
                              frame("GreenThread.main", "/site-packages/eventlet/greenthread.py")};
  found = find_hidden_loop(green, "", false, {});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, LoopKind::kEventlet);
}

TEST(HiddenLoop, LibrariesAreKnownByTheirFiles) {
  std::vector<Mapping> mappings = {
      {.path = "/venv/lib/python3.11/site-packages/uvloop/loop.cpython-311-x86_64-linux-gnu.so"}};
  EXPECT_TRUE(find_hiding_libraries(mappings).uvloop);
  EXPECT_FALSE(find_hiding_libraries(mappings).gevent);
  mappings = {{.path = "/usr/lib/python3/dist-packages/gevent/_gevent_cgreenlet.so"}};
  EXPECT_TRUE(find_hiding_libraries(mappings).gevent);
}

}  // namespace
}  // namespace loopsight
