#include "daemon/host/kernel_symbols.h"

#include <gtest/gtest.h>

#include <fstream>

#include "daemon/live/kernel_names.h"

namespace loopsight {
namespace {

std::string written(const std::string& text) {
  std::string path = testing::TempDir() + "kallsyms";
  std::ofstream(path) << text;
  return path;
}

TEST(KernelSymbols, FindsTheFunctionThatAnAddressLiesIn) {
  KernelSymbols symbols(
      written("ffffffff81001000 T vfs_read\nffffffff81000000 t do_fsync.constprop.0\n"
              "ffffffff81000800 d jiffies\nffffffffc0000000 t ext4_sync_file\t[ext4]\n"));
  EXPECT_EQ(symbols.find(0xffffffff81000900), "do_fsync");  // data is no function
  EXPECT_EQ(symbols.find(0xffffffff81001000), "vfs_read");
  EXPECT_EQ(symbols.find(0xffffffffc0000010), "ext4_sync_file");
  EXPECT_EQ(symbols.find(0xffffffff80ffffff), "");
  EXPECT_EQ(symbols.find(0xffffffff91001000), "");  // far from any
}

TEST(KernelSymbols, KnowsNothingWhereAddressesAreHiddenOrLinesDamaged) {
  KernelSymbols hidden(written("0000000000000000 T vfs_read\n0000000000000000 t do_fsync\n"));
  EXPECT_EQ(hidden.find(0xffffffff81000900), "");
  KernelSymbols damaged(written("ffffffff81000000\nzz T x\n\nffffffff81000000 T\n"));
  EXPECT_EQ(damaged.find(0xffffffff81000000), "");
  KernelSymbols missing("/nonexistent");
  EXPECT_EQ(missing.find(0xffffffff81000000), "");
}

TEST(KernelNames, NoAddressOfTheKernelGoesFurther) {
  ls_kernel_stack stack{{0xffffffff81000900, 0xffffffff81000901}};
  KernelNames names(written("ffffffff81000000 t do_fsync\n"));
  auto fresh = names.number(stack, 5);
  ASSERT_EQ(fresh.size(), 2U);  // two places in it
  EXPECT_EQ(fresh[0].name, "do_fsync");
  EXPECT_EQ(stack.address[0], fresh[0].number);
  EXPECT_EQ(stack.address[1], 2U);
  EXPECT_EQ(stack.address[2], 0U);
  ls_kernel_stack again{{0xffffffff81000900, 0x1234}};
  EXPECT_TRUE(names.number(again, 6).empty());
  EXPECT_EQ(again.address[0], 1U);
  EXPECT_EQ(again.address[1], 0U);  // without a name
}

}  // namespace
}  // namespace loopsight
