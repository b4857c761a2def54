#include "daemon/attribute/bounded_reads.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "daemon/attribute/process_reader.h"
#include "daemon/base/fd.h"

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

// What does not hang has all the time that it may need on a busy machine.
constexpr BoundedReads::Limits kPatience{
    .patience = milliseconds(1000), .patience_when_stuck = milliseconds(60'000), .most_stuck = 2};

void wait_until_back(const Gate& gate) {
  while (gate.is_held()) usleep(1000);
}

TEST(BoundedReads, GivesWhatIsRead) {
  BoundedReads reads;
  for (int i = 0; i < 100; i++) {
    auto text = reads.of(7, [i] { return std::make_unique<std::string>(std::to_string(i)); });
    ASSERT_TRUE(text);
    EXPECT_EQ(**text, std::to_string(i));
  }
  EXPECT_EQ(reads.given_up(), 0U);
}

TEST(BoundedReads, IsDoneWithWhatAReadOwnsWhenItGivesIts) {
  BoundedReads reads;
  auto owned = std::make_shared<int>(5);
  EXPECT_EQ(reads.of(7, [owned] { return *owned; }), 5);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(BoundedReads, LeavesAReadThatHangsToItself) {
  Gate gate;
  BoundedReads reads(kPatience);
  EXPECT_FALSE(reads.of(7, gate.reading()));
  EXPECT_EQ(reads.given_up(), 1U);
  EXPECT_TRUE(gate.is_held());
  EXPECT_EQ(reads.of(8, [] { return 8; }), 8);  // of another process
  // Of this one nothing is read any more, not even begun, until it has come back.
  EXPECT_TRUE(reads.refuses(7));
  EXPECT_FALSE(reads.of(7, [] { return 7; }));
  EXPECT_EQ(reads.given_up(), 1U);
  gate.open();
  while (reads.refuses(7)) usleep(1000);
  EXPECT_FALSE(gate.is_held());
  EXPECT_EQ(reads.of(7, [] { return 7; }), 7);
}

TEST(BoundedReads, ReadsNothingOnceTooManyHang) {
  std::array<Gate, 2> gates;
  BoundedReads reads(BoundedReads::Limits{
      .patience = milliseconds(1000), .patience_when_stuck = milliseconds(1000), .most_stuck = 2});
  EXPECT_FALSE(reads.of(7, gates[0].reading()));
  EXPECT_FALSE(reads.of(8, gates[1].reading()));
  EXPECT_FALSE(reads.of(9, [] { return 9; }));
  EXPECT_EQ(reads.given_up(), 2U);
  gates[1].open();
  while (reads.refuses(9)) usleep(1000);
  EXPECT_EQ(reads.of(9, [] { return 9; }), 9);
  EXPECT_TRUE(reads.refuses(7));
  gates[0].open();
  wait_until_back(gates[0]);
}

TEST(BoundedReads, MayGoBeforeWhatHangsComesBack) {
  Gate gate;
  {
    BoundedReads reads(kPatience);
    EXPECT_FALSE(reads.of(7, gate.reading()));
  }
  EXPECT_TRUE(gate.is_held());
  gate.open();
  wait_until_back(gate);
}

TEST(ProcessReader, SaysThatAReadHangs) {
  Gate gate;
  auto reads = std::make_shared<BoundedReads>(kPatience);
  ProcessReader reader("/proc", reads);
  auto self = static_cast<uint32_t>(getpid());
  EXPECT_FALSE(reads->of(self, gate.reading()));
  auto facts = reader.read(self);
  EXPECT_FALSE(facts.is_python);
  EXPECT_NE(facts.start_ticks, 0U);  // it is there
  EXPECT_NE(facts.why_not.find("does not come back"), std::string::npos) << facts.why_not;
  EXPECT_FALSE(reader.find_python(self));
  EXPECT_FALSE(reader.layout(self));
  gate.open();
  while (reads->refuses(self)) usleep(1000);
  EXPECT_NE(reader.read(self).why_not.find("no CPython"), std::string::npos);
}

}  // namespace
}  // namespace loopsight
