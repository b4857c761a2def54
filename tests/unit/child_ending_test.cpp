#include "daemon/live/child_ending.h"

#include <gtest/gtest.h>

#include <csignal>

namespace loopsight {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

TEST(ChildEnding, AsksThenInsistsThenKills) {
  ChildEnding ending;
  EXPECT_FALSE(ending.due(100 * kSecond));
  EXPECT_EQ(ending.next_ns(), UINT64_MAX);
  ending.begin(100 * kSecond);
  EXPECT_EQ(ending.due(100 * kSecond), SIGTERM);
  EXPECT_FALSE(ending.due(104 * kSecond));
  EXPECT_EQ(ending.next_ns(), 105 * kSecond);
  ending.begin(104 * kSecond);  // again: nothing begins anew
  EXPECT_EQ(ending.due(105 * kSecond), SIGINT);
  EXPECT_EQ(ending.due(110 * kSecond), SIGKILL);
  EXPECT_FALSE(ending.due(200 * kSecond));
  EXPECT_EQ(ending.next_ns(), UINT64_MAX);
}

}  // namespace
}  // namespace loopsight
