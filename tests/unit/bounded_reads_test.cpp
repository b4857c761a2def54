#include "daemon/host/bounded_reads.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/python/process_reader.h"

namespace loopsight {
namespace {

using std::chrono::milliseconds;

// What a read that hangs reads from: it comes back with open().
class Gate {
 public:
  Gate() {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe(ends.data()), 0);
    out_ = std::make_shared<Fd>(ends[0]);
    in_ = Fd(ends[1]);
  }
  void open() { in_ = Fd(); }
  auto reading() const {
    return [out = out_] {
      char byte = 0;
      return ::read(out->get(), &byte, 1);
    };
  }
  bool is_held() const { return out_.use_count() > 1; }  // by a read that has not come back

 private:
  std::shared_ptr<Fd> out_;
  Fd in_;
};

// What does not hang may be given up too, on a busy machine, and is tried again.
constexpr BoundedReads::Limits kImpatient{.patience = milliseconds(50),
                                          .budget = milliseconds(60'000),
                                          .least_patience = milliseconds(50),
                                          .pause = milliseconds(0),
                                          .most_stuck = 2};
constexpr BoundedReads::Limits kPatient{.patience = milliseconds(60'000),
                                        .budget = milliseconds(60'000)};

template <typename Read>
auto eventually(BoundedReads& reads, uint32_t tgid, Read read) {
  for (;;) {
    if (auto value = reads.of(tgid, read)) return std::move(*value);
    usleep(1000);
  }
}

void wait_until_back(const Gate& gate) {
  while (gate.is_held()) usleep(1000);
}

TEST(BoundedReads, GivesWhatIsRead) {
  BoundedReads reads(kPatient);
  for (int i = 0; i < 100; i++) {
    auto text = reads.of(7, [i] { return std::make_unique<std::string>(std::to_string(i)); });
    ASSERT_TRUE(text);
    EXPECT_EQ(**text, std::to_string(i));
  }
  EXPECT_EQ(reads.given_up(), 0U);
}

TEST(BoundedReads, IsDoneWithWhatAReadOwnsWhenItGivesItsValue) {
  BoundedReads reads(kPatient);
  auto owned = std::make_shared<int>(5);
  EXPECT_EQ(reads.of(7, [owned] { return *owned; }), 5);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(BoundedReads, PassesExceptionsOn) {
  BoundedReads reads(kPatient);
  EXPECT_THROW((void)reads.of(7, []() -> int { throw std::length_error("too long"); }),
               std::length_error);
  EXPECT_EQ(reads.of(7, [] { return 7; }), 7);
}

TEST(BoundedReads, LeavesAReadThatHangsToItself) {
  Gate gate;
  BoundedReads reads(kImpatient);
  EXPECT_FALSE(reads.of(7, gate.reading()));
  EXPECT_EQ(reads.given_up(), 1U);
  EXPECT_TRUE(gate.is_held());
  EXPECT_EQ(eventually(reads, 8, [] { return 8; }), 8);  // of another process
  // Of this one nothing is read any more, not even begun, until it has come back.
  EXPECT_TRUE(reads.refuses(7));
  uint64_t given_up = reads.given_up();
  EXPECT_FALSE(reads.of(7, [] { return 7; }));
  EXPECT_EQ(reads.given_up(), given_up);
  gate.open();
  EXPECT_EQ(eventually(reads, 7, [] { return 7; }), 7);
  EXPECT_FALSE(gate.is_held());
}

TEST(BoundedReads, ReadsNothingOnceTooManyHang) {
  std::array<Gate, 2> gates;
  BoundedReads reads(kImpatient);
  EXPECT_FALSE(reads.of(7, gates[0].reading()));
  EXPECT_FALSE(reads.of(8, gates[1].reading()));
  EXPECT_FALSE(reads.of(9, [] { return 9; }));
  EXPECT_EQ(reads.given_up(), 2U);
  gates[1].open();
  EXPECT_EQ(eventually(reads, 9, [] { return 9; }), 9);
  EXPECT_TRUE(reads.refuses(7));
  gates[0].open();
  wait_until_back(gates[0]);
}

Owner owner_of_hundreds(uint32_t tgid) { return {.cgroup = 1, .user = tgid / 100}; }

TEST(BoundedReads, OneOwnerHangsForHimselfAlone) {
  BoundedReads::Limits limits = kImpatient;
  limits.most_stuck = 64;
  limits.most_stuck_of_owner = 2;
  limits.owner_budget = std::chrono::minutes(1);
  BoundedReads reads(limits);
  reads.charge_by(owner_of_hundreds);
  std::array<Gate, 2> gates;
  EXPECT_FALSE(reads.of(100, gates[0].reading()));
  EXPECT_FALSE(reads.of(101, gates[1].reading()));
  EXPECT_TRUE(reads.refuses(102));
  EXPECT_FALSE(reads.of(102, [] { return 0; }));
  EXPECT_EQ(reads.shed(), 1U);
  EXPECT_EQ(eventually(reads, 200, [] { return 200; }), 200);  // of another
  for (Gate& gate : gates) gate.open();
  for (const Gate& gate : gates) wait_until_back(gate);
  EXPECT_EQ(eventually(reads, 102, [] { return 102; }), 102);
}

TEST(BoundedReads, OneOwnersSlowReadsTakeNobodyElsesTime) {
  BoundedReads::Limits limits{.patience = milliseconds(60'000),
                              .budget = milliseconds(600'000),
                              .least_patience = milliseconds(50),
                              .pause = milliseconds(0),
                              .owner_budget = milliseconds(100)};
  BoundedReads reads(limits);
  reads.charge_by(owner_of_hundreds);
  auto slow = [] {
    usleep(80'000);
    return 1;
  };
  while (!reads.refuses(100)) (void)reads.of(100, slow);
  EXPECT_TRUE(reads.refuses(101));
  EXPECT_FALSE(reads.refuses(200));
  EXPECT_EQ(reads.of(200, slow), 1);
}

TEST(BoundedReads, PausesAfterAReadThatWasGivenUp) {
  BoundedReads::Limits limits = kImpatient;
  limits.pause = std::chrono::hours(1);
  BoundedReads reads(limits);
  Gate gate;
  EXPECT_FALSE(reads.of(7, gate.reading()));
  gate.open();
  wait_until_back(gate);
  EXPECT_TRUE(reads.refuses(7));  // though it is back
  EXPECT_FALSE(reads.refuses(8));
  reads.forget(7);
  EXPECT_FALSE(reads.refuses(7));
}

TEST(BoundedReads, ReadsAnotherProcessOfTheSameNumber) {
  BoundedReads reads(kImpatient);
  Gate gate;
  EXPECT_FALSE(reads.of(7, gate.reading()));
  reads.forget(7);
  EXPECT_EQ(eventually(reads, 7, [] { return 7; }), 7);
  EXPECT_TRUE(gate.is_held());
  gate.open();
  wait_until_back(gate);
}

TEST(BoundedReads, WaitsNoLongerThanItsBudgetForSlowReads) {
  BoundedReads::Limits limits{.patience = milliseconds(60'000),
                              .budget = milliseconds(60'000),
                              .least_patience = milliseconds(1),
                              .pause = milliseconds(0)};
  BoundedReads whole(limits);
  auto slow = [] {
    usleep(300'000);
    return 1;
  };
  for (int i = 0; i < 4; i++) EXPECT_EQ(whole.of(7, slow), 1);
  limits.budget = milliseconds(500);
  BoundedReads small(limits);
  int given = 0;
  for (int i = 0; i < 4; i++) given += small.of(7, slow).has_value();
  EXPECT_LE(given, 1);  // the second finds 200 ms and what came back meanwhile
  EXPECT_GE(small.given_up(), 1U);
}

TEST(BoundedReads, MayGoBeforeWhatHangsComesBack) {
  Gate gate;
  {
    BoundedReads reads(kImpatient);
    EXPECT_FALSE(reads.of(7, gate.reading()));
  }
  EXPECT_TRUE(gate.is_held());
  gate.open();
  wait_until_back(gate);
}

TEST(ProcessReader, SaysThatAReadHangs) {
  Gate gate;
  auto reads = std::make_shared<BoundedReads>(kImpatient);
  ProcessReader reader("/proc", reads);
  auto self = static_cast<uint32_t>(getpid());
  EXPECT_FALSE(reads->of(self, gate.reading()));
  auto facts = reader.read(self);
  EXPECT_TRUE(facts.unread);
  EXPECT_FALSE(facts.is_python);
  EXPECT_NE(facts.start_ticks, 0U);  // it is there
  EXPECT_NE(facts.why_not.find("does not come back"), std::string::npos) << facts.why_not;
  EXPECT_FALSE(reader.find_python(self));
  EXPECT_FALSE(reader.layout(self));
  gate.open();
  while (facts.unread) facts = reader.read(self);
  EXPECT_NE(facts.why_not.find("no CPython"), std::string::npos);
}

}  // namespace
}  // namespace loopsight
