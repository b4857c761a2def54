#include "daemon/python/work_queue.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_memory.h"

namespace loopsight {
namespace {

using Jobs = std::vector<uint64_t>;
using Running = std::map<uint64_t, uint64_t>;

constexpr uint64_t kSecond = 1'000'000'000;

WorkQueue queue_of(const Jobs& jobs) { return {.length = jobs.size(), .items = jobs}; }

// A ring of debug offsets is not needed here: only where an object begins.
ls_python ring_layout() {
  ls_python python = *python_layout(12, "");
  python.minor = 13;
  return python;
}

TEST(WorkQueue, ReadsAList) {
  FakePython fake(11);
  uint64_t queue = fake.queue({0x100, 0x200, 0x300});
  auto read = read_work_queue(fake.memory.remote(), fake.python, queue);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, queue_of({0x100, 0x200, 0x300}));
  fake.memory.word(queue + 40, 2);  // two of them were taken
  read = read_work_queue(fake.memory.remote(), fake.python, queue);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, queue_of({0x300}));
}

TEST(WorkQueue, ReadsARingAcrossItsEnd) {
  FakeMemory memory;
  const Jobs ring = {0x300, 0x400, 0, 0, 0, 0, 0x100, 0x200};
  memory.put(0x8000, ring.data(), ring.size() * 8);
  const Jobs members = {0, 2, 6, 0x8000, 8, 4};
  memory.put(0x1010, members.data(), members.size() * 8);
  auto read = read_work_queue(memory.remote(), ring_layout(), 0x1000);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, queue_of({0x100, 0x200, 0x300, 0x400}));
}

TEST(WorkQueue, DoesNotBelieveWhatContradictsItself) {
  FakePython fake(11);
  uint64_t queue = fake.queue({0x100});
  fake.memory.word(queue + 40, 2);  // beyond its end
  EXPECT_FALSE(read_work_queue(fake.memory.remote(), fake.python, queue));
  fake.memory.word(queue + 40, 0);
  fake.memory.word(queue + 32, 0x99);  // a list that is nowhere
  EXPECT_FALSE(read_work_queue(fake.memory.remote(), fake.python, queue));

  FakeMemory memory;
  for (const Jobs& members : {Jobs{0, 0, 9, 0x8000, 8, 1},  // begins beyond its end
                              Jobs{0, 0, 0, 0x8000, 8, 9},  // holds more than it can
                              Jobs{0, 0, 0, 0x8000, uint64_t{1} << 60, 1},  // larger than memory
                              Jobs{0, 0, 0, 0x8000, 8, 1}}) {               // items are nowhere
    memory.put(0x1010, members.data(), members.size() * 8);
    EXPECT_FALSE(read_work_queue(memory.remote(), ring_layout(), 0x1000));
  }
}

TEST(WorkQueue, ReadsNoMoreThanTheWindowOfALongOne) {
  FakePython fake(11);
  uint64_t queue = fake.queue(Jobs(5000, 0x100));
  auto read = read_work_queue(fake.memory.remote(), fake.python, queue);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->length, 5000);
  EXPECT_EQ(read->items.size(), kQueueWindow);
}

TEST(WorkQueue, WaitsForTwoReadsThatAgree) {
  FakePython fake(11);
  uint64_t queue = fake.queue({0x100, 0x200});
  uint64_t position = 0;
  fake.memory.before_read = [&] { fake.memory.word(queue + 40, position++ / 2 % 3); };
  EXPECT_FALSE(read_work_queue(fake.memory.remote(), fake.python, queue));
}

TEST(JobWaits, CountsFromTheFirstLookAtAQueueThatStandsStill) {
  JobWaits waits;
  const Running running = {{1, 0xA0}, {2, 0xB0}};
  for (uint64_t look = 0; look < 5; look++)
    EXPECT_EQ(waits.on_look((10 + look) * kSecond, queue_of({1, 2, 3}), running), look * kSecond);
}

TEST(JobWaits, FollowsAQueueThatMoves) {
  JobWaits waits;
  // One job a second is taken and one is put in: each waits for four seconds.
  uint64_t first = 100;
  uint64_t waited = 0;
  for (uint64_t look = 0; look < 40; look++, first++) {
    Jobs jobs = {first, first + 1, first + 2, first + 3};
    waited = waits.on_look(look * kSecond, queue_of(jobs), {{1, first - 1}});
    EXPECT_EQ(waited, std::min<uint64_t>(look, 3) * kSecond) << look;
  }
  EXPECT_EQ(waits.on_look(41 * kSecond, queue_of({}), {}), 0);
  EXPECT_EQ(waits.on_look(42 * kSecond, queue_of({7}), {}), 0);
}

TEST(JobWaits, KnowsAJobAgainByItsAddressOnlyWhileNoThreadTookAnother) {
  JobWaits waits;
  EXPECT_EQ(waits.on_look(1 * kSecond, queue_of({0xA0}), {{1, 0xB0}}), 0);
  // The thread runs another job, so the one in the queue has the address of the one taken.
  EXPECT_EQ(waits.on_look(2 * kSecond, queue_of({0xA0}), {{1, 0xC0}}), 0);
  EXPECT_EQ(waits.on_look(3 * kSecond, queue_of({0xA0}), {{1, 0xC0}}), 1 * kSecond);
  // What a thread runs could not be read: nothing follows from that.
  EXPECT_EQ(waits.on_look(4 * kSecond, queue_of({0xA0}), {{1, 0}}), 2 * kSecond);
  EXPECT_EQ(waits.on_look(5 * kSecond, queue_of({0xA0}), {{1, 0xC0}}), 3 * kSecond);
}

TEST(JobWaits, BeginsAnewWhereLooksDoNotFitTogether) {
  JobWaits waits;
  EXPECT_EQ(waits.on_look(1 * kSecond, queue_of({1, 2, 3}), {}), 0);
  EXPECT_EQ(waits.on_look(2 * kSecond, queue_of({1, 2, 3}), {}), 1 * kSecond);
  EXPECT_EQ(waits.on_look(3 * kSecond, queue_of({9, 2, 3}), {}), 0);
  EXPECT_EQ(waits.on_look(4 * kSecond, queue_of({2, 3}), {}), 1 * kSecond);
}

TEST(JobWaits, StaysBoundedAndNeverTellsTooMuch) {
  JobWaits waits;
  Jobs jobs;
  uint64_t waited = 0;
  for (uint64_t look = 1; look <= 20'000; look++) {
    if (jobs.size() < kQueueWindow) jobs.push_back(look);
    WorkQueue queue{.length = look, .items = jobs};
    waited = waits.on_look(look * kSecond, queue, {});
    ASSERT_LE(waited, (look - 1) * kSecond);
  }
  EXPECT_EQ(waited, 19'999 * kSecond);
}

}  // namespace
}  // namespace loopsight
