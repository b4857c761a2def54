#include "daemon/probe/table_sizes.h"

#include <gtest/gtest.h>

#include "bpf/wire.h"

namespace loopsight {
namespace {

constexpr uint64_t kGiB = 1 << 30;

TEST(TableSizes, GrowWithTheMachine) {
  TableSizes small = size_tables({}, kGiB, 1, 32768);
  EXPECT_EQ(small, (TableSizes{.loops = 2048, .processes = 32768, .ring_bytes = 4 << 20}));
  TableSizes large = size_tables({}, 32 * kGiB, 16, 4'194'304);
  EXPECT_GT(large.loops, 10'000U);
  EXPECT_EQ(large.processes, 65536U);
  EXPECT_EQ(large.ring_bytes, 16U << 20);
  // One service with 5,000 loops, which may have three quarters of the table.
  EXPECT_GT(size_tables({}, 24 * kGiB, 4, 32768).loops * 3 / 4, 5000U);
  TableSizes huge = size_tables({}, 4096 * kGiB, 1024, 4'194'304);
  EXPECT_EQ(huge, (TableSizes{.loops = 16384, .processes = 1 << 20, .ring_bytes = 16 << 20}));
}

TEST(TableSizes, AreWhatIsWantedWithinTheirBounds) {
  TableSizes wanted{.loops = 5000, .processes = 2000, .ring_bytes = 5000};
  EXPECT_EQ(size_tables(wanted, kGiB, 1, 32768),
            (TableSizes{.loops = 5000, .processes = 2000, .ring_bytes = 4096}));
  TableSizes most =
      size_tables({.loops = 1 << 30, .processes = 1 << 30, .ring_bytes = 1U << 31}, kGiB, 1, 32768);
  EXPECT_EQ(most.loops, static_cast<uint32_t>(LS_MAX_LOOPS));
  EXPECT_EQ(most.ring_bytes, 256U << 20);
  EXPECT_EQ(size_tables({.loops = 1}, kGiB, 1, 32768).loops, 64U);
}

}  // namespace
}  // namespace loopsight
