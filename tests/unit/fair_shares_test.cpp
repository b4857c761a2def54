#include "daemon/base/fair_shares.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

constexpr Owner kHonest{.cgroup = 1, .user = 1000};
constexpr Owner kGreedy{.cgroup = 1, .user = 65534};
constexpr Owner kElsewhere{.cgroup = 2, .user = 65534};

using Gone = std::vector<int>;

TEST(FairShares, OneAloneMayHaveAll) {
  FairShares<int> shares(100);
  for (int i = 0; i < 100; i++) EXPECT_TRUE(shares.add(i, kGreedy).empty());
  EXPECT_EQ(shares.add(100, kGreedy), Gone{0});  // its oldest
  EXPECT_EQ(shares.weight(), 100U);
  EXPECT_EQ(shares.dropped(), 1U);
}

TEST(FairShares, WhoHasMostLosesForWhoHasLittle) {
  FairShares<int> shares(100);
  for (int i = 0; i < 100; i++) shares.add(i, kGreedy);
  for (int i = 0; i < 50; i++) EXPECT_EQ(shares.add(1000 + i, kHonest), Gone{i});
  // Now they have the same, and each loses his own.
  shares.add(2000, kGreedy);
  EXPECT_FALSE(shares.contains(50));
  for (int i = 0; i < 200; i++) shares.add(3000 + i, kGreedy);
  for (int i = 0; i < 50; i++) EXPECT_TRUE(shares.contains(1000 + i)) << i;
}

TEST(FairShares, ManyUsersOfACgroupAreOneBesideAnother) {
  FairShares<int> shares(100);
  for (uint32_t user = 0; user < 100; user++)
    shares.add(static_cast<int>(user), {.cgroup = 1, .user = user});
  for (int i = 0; i < 20; i++) shares.add(1000 + i, kElsewhere);
  for (uint32_t user = 100; user < 5000; user++)
    shares.add(static_cast<int>(10'000 + user), {.cgroup = 1, .user = user});
  for (int i = 0; i < 20; i++) EXPECT_TRUE(shares.contains(1000 + i)) << i;
  EXPECT_LE(shares.weight(), 100U);
}

TEST(FairShares, TheLargestLaneOfAnOwnerLosesFirst) {
  FairShares<int> shares(10);
  for (int i = 0; i < 8; i++) shares.add(i, kGreedy, 1, 7);
  shares.add(100, kGreedy, 1, 8);
  shares.add(101, kGreedy, 1, 8);
  EXPECT_EQ(shares.add(102, kGreedy, 1, 8), Gone{0});
  EXPECT_TRUE(shares.contains(100));
}

TEST(FairShares, WeighsAndForgets) {
  FairShares<int> shares(100);
  shares.add(1, kGreedy, 60);
  shares.add(1, kGreedy, 30);  // told again
  EXPECT_EQ(shares.weight(), 30U);
  EXPECT_EQ(shares.add(2, kHonest, 200), Gone{2});  // heavier than all: it goes itself
  EXPECT_TRUE(shares.contains(1));
  shares.remove(1);
  shares.remove(1);
  EXPECT_EQ(shares.weight(), 0U);
  EXPECT_EQ(shares.size(), 0U);
  shares.add(3, kHonest);
  EXPECT_EQ(shares.set_most(0), Gone{3});
}

TEST(FairShares, SaysWhoYieldsToWhom) {
  FairShares<int> shares(100);
  EXPECT_FALSE(shares.who_yields_to(kHonest));
  for (int i = 0; i < 10; i++) shares.add(i, kGreedy);
  EXPECT_EQ(shares.who_yields_to(kHonest), kGreedy);
  EXPECT_EQ(shares.who_yields_to(kElsewhere), kGreedy);
  EXPECT_FALSE(shares.who_yields_to(kGreedy));
  for (int i = 0; i < 9; i++) shares.add(100 + i, kHonest);
  EXPECT_FALSE(shares.who_yields_to(kHonest));  // it would have as much then
}

TEST(FairShares, TellsEachOffenderOnce) {
  FairShares<int> shares(2);
  for (int i = 0; i < 5; i++) shares.add(i, kGreedy);
  EXPECT_EQ(shares.take_offenders(), std::vector<Owner>{kGreedy});
  shares.add(9, kGreedy);
  EXPECT_TRUE(shares.take_offenders().empty());
}

}  // namespace
}  // namespace loopsight
