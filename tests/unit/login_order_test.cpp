#include "daemon/web/login_order.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

TEST(FailedLoginsTest, TenMistakesAreFreeAndForgivenOneEachSecond) {
  FailedLogins failed;
  for (int i = 0; i < 10; i++) failed.add("a", kSecond);
  EXPECT_EQ(failed.excess_ns("a", kSecond), 0U);
  failed.add("a", kSecond);
  EXPECT_EQ(failed.excess_ns("a", kSecond), kSecond);
  EXPECT_EQ(failed.excess_ns("a", 2 * kSecond), 0U);
  EXPECT_EQ(failed.excess_ns("b", kSecond), 0U);
}

TEST(FailedLoginsTest, NoDebtLastsForEver) {
  FailedLogins failed;
  for (int i = 0; i < 1000; i++) failed.add("a", kSecond);
  EXPECT_EQ(failed.excess_ns("a", kSecond), 30 * kSecond);
}

TEST(FailedLoginsTest, IsBoundedAndKeepsTheWorst) {
  FailedLogins failed(3);
  for (int i = 0; i < 20; i++) failed.add("worst", kSecond);
  for (int i = 0; i < 100; i++) {
    failed.add(std::to_string(i), kSecond);
    EXPECT_LE(failed.size(), 3U);
  }
  EXPECT_GT(failed.excess_ns("worst", kSecond), 0U);
  failed.add("later", 1000 * kSecond);  // everything is forgiven by now
  EXPECT_EQ(failed.size(), 1U);
}

class LoginOrderTest : public testing::Test {
 protected:
  void push(const std::string& address, const std::string& user, std::string name = "") {
    if (name.empty()) name = address + user;
    ASSERT_TRUE(order_.push(address, user, [this, name] { last_ = name; }));
  }
  // The name of the next one, "" for none.
  std::string take(uint64_t now_ns = kSecond) {
    last_.clear();
    if (auto check = order_.take(now_ns)) (*check)();
    return last_;
  }
  void make_offender(const std::string& address, uint64_t now_ns = kSecond) {
    for (int i = 0; i < 15; i++) order_.failed(address, now_ns);
  }

  LoginOrder order_;
  std::string last_;
};

TEST_F(LoginOrderTest, AddressesComeInTurn) {
  for (int i = 0; i < 40; i++) push("many", "alice");
  push("one", "alice", "right");
  EXPECT_EQ(take(), "manyalice");
  EXPECT_EQ(take(), "right");
  EXPECT_EQ(take(), "manyalice");
}

TEST_F(LoginOrderTest, UsersOfAnAddressComeInTurn) {
  for (int i = 0; i < 40; i++) push("", "alice", "guess");
  push("", "bob", "right");
  EXPECT_EQ(take(), "guess");
  EXPECT_EQ(take(), "right");
}

TEST_F(LoginOrderTest, OneUserOfOneAddressComesInTheOrderOfArrival) {
  for (int i = 0; i < 40; i++) push("", "alice", std::to_string(i));
  for (int i = 0; i < 40; i++) EXPECT_EQ(take(), std::to_string(i));
  EXPECT_EQ(take(), "");
  EXPECT_FALSE(order_.due_ns());
}

TEST_F(LoginOrderTest, WhoFailedTooOftenComesAfterTheOthersButComes) {
  make_offender("bad");
  for (int i = 0; i < 4; i++) push("bad", "alice", "guess");
  for (int i = 0; i < 10; i++) push("good" + std::to_string(i), "alice", "good");
  std::string order;
  for (int i = 0; i < 8; i++) order += take(2 * kSecond) == "good" ? "+" : "-";
  EXPECT_EQ(order, "+++-+++-");
}

TEST_F(LoginOrderTest, WhoGuessesAloneWaitsASecond) {
  make_offender("bad");
  push("bad", "alice", "guess");
  EXPECT_EQ(take(kSecond), "");
  EXPECT_EQ(order_.due_ns(), 2 * kSecond);
  EXPECT_EQ(take(2 * kSecond), "guess");
}

TEST_F(LoginOrderTest, NobodyWaitsMuchLongerThanThreeSecondsForGuessesOfHisAddress) {
  make_offender("", kSecond);
  for (int i = 0; i < 40; i++) push("", "alice", "guess");
  push("", "alice", "right");
  uint64_t now_ns = kSecond;
  for (std::string taken; taken != "right";) {
    taken = take(now_ns);
    if (taken == "guess") {  // wrong, and its client tries again at once
      order_.failed("", now_ns);
      push("", "alice", "guess");
    } else if (taken.empty()) {
      now_ns = *order_.due_ns();
    }
  }
  EXPECT_LE(now_ns, 5 * kSecond);
}

TEST_F(LoginOrderTest, IsBounded) {
  LoginOrder order(2);
  EXPECT_TRUE(order.push("a", "x", [] {}));
  EXPECT_TRUE(order.push("b", "x", [] {}));
  EXPECT_FALSE(order.push("c", "x", [] {}));
  EXPECT_TRUE(order.take(0));
  EXPECT_TRUE(order.push("c", "x", [] {}));
}

}  // namespace
}  // namespace loopsight
