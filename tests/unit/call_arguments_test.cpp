#include "daemon/python/call_arguments.h"

#include <asm/unistd_64.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <array>

#include "tests/unit/fake_memory.h"

namespace loopsight {
namespace {

TEST(PolledDescriptor, IsTheFirstThatIsWatched) {
  FakeMemory memory;
  std::array<pollfd, 3> polled = {{{.fd = -1}, {.fd = 7}, {.fd = 8}}};
  memory.put(0x1000, polled.data(), sizeof(polled));
  ls_wait wait{.syscall = __NR_poll, .args = {0x1000, polled.size(), 0}};
  EXPECT_EQ(polled_descriptor(memory.remote(), wait), 7);
  wait.args[1] = 0;
  EXPECT_FALSE(polled_descriptor(memory.remote(), wait));
  wait.args[1] = UINT64_MAX;  // more than there are
  EXPECT_FALSE(polled_descriptor(memory.remote(), wait));
  wait.syscall = __NR_epoll_wait;
  EXPECT_FALSE(polled_descriptor(memory.remote(), wait));
}

TEST(PolledDescriptor, OfASelectIsInTheReadSetOrTheWriteSet) {
  FakeMemory memory;
  std::array<uint64_t, 2> none = {0, 0};
  std::array<uint64_t, 2> high = {0, uint64_t{1} << 5};
  memory.put(0x1000, none.data(), sizeof(none));
  memory.put(0x2000, high.data(), sizeof(high));
  ls_wait wait{.syscall = __NR_select, .args = {128, 0x1000, 0x2000}};
  EXPECT_EQ(polled_descriptor(memory.remote(), wait), 69);
  wait.args[2] = 0;
  EXPECT_FALSE(polled_descriptor(memory.remote(), wait));
  wait.args[0] = UINT64_MAX;
  EXPECT_FALSE(polled_descriptor(memory.remote(), wait));
}

TEST(PathArgument, EndsAtItsEndOrWhereItCannotBeRead) {
  FakeMemory memory;
  std::string path = "/srv/queue";
  memory.put(0x1FFA, path.c_str(), path.size() + 1);  // across a page
  memory.zero(0x2005, 4096);
  ls_wait wait{.syscall = __NR_open, .args = {0x1FFA, 0x3000, 0}};
  EXPECT_EQ(path_argument(memory.remote(), wait, false), path);
  EXPECT_EQ(path_argument(memory.remote(), wait, true), "");
}

}  // namespace
}  // namespace loopsight
