#include "daemon/web/connections.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "daemon/base/fd.h"

namespace loopsight {
namespace {

sockaddr_storage address_of(const char* text) {
  sockaddr_storage storage{};
  auto* ipv4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
  storage.ss_family = inet_pton(AF_INET, text, &ipv4->sin_addr) == 1 ? AF_INET : AF_INET6;
  if (storage.ss_family == AF_INET6) inet_pton(AF_INET6, text, &ipv6->sin6_addr);
  return storage;
}

std::string key_of(const char* text) {
  sockaddr_storage storage = address_of(text);
  return address_key(reinterpret_cast<const sockaddr*>(&storage));
}

class ConnectionsTest : public testing::Test {
 protected:
  // A connection of `address`; its other end tells whether it was shut down.
  Connections::Handle open(const char* address, uint64_t now_ns = 0) {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_.emplace_back(ends[0]);
    theirs_.emplace_back(ends[1]);
    sockaddr_storage storage = address_of(address);
    return connections_.open(ends[0], reinterpret_cast<const sockaddr*>(&storage), now_ns);
  }

  bool is_shut(size_t number) const {
    char byte = 0;
    return read(theirs_[number].get(), &byte, 1) == 0;
  }

  std::vector<Fd> ours_;
  std::vector<Fd> theirs_;
  Connections connections_{{.total = 4, .per_address = 2}};
};

TEST(AddressKeyTest, CountsByTheNetworkThatOneClientHas) {
  EXPECT_EQ(key_of("10.0.0.5"), "10.0.0.5");
  EXPECT_EQ(key_of("::ffff:10.0.0.5"), "10.0.0.5");
  EXPECT_EQ(key_of("2001:db8::1"), key_of("2001:db8::2"));
  EXPECT_NE(key_of("2001:db8::1"), key_of("2001:db8:0:1::1"));
  for (const char* loopback : {"127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"})
    EXPECT_EQ(key_of(loopback), "") << loopback;
  EXPECT_EQ(address_key(nullptr), "");
}

TEST_F(ConnectionsTest, TheLongestSilentOneGivesWay) {
  auto first = open("127.0.0.1");
  for (int i = 0; i < 3; i++) open("127.0.0.1");
  EXPECT_EQ(connections_.size(), 4U);
  connections_.touch(first, false, 0);
  open("127.0.0.1");
  EXPECT_EQ(connections_.size(), 4U);
  EXPECT_FALSE(is_shut(0));
  EXPECT_TRUE(is_shut(1));
  EXPECT_FALSE(is_shut(2));
}

TEST_F(ConnectionsTest, OneThatIsBeingAnsweredStaysWhereThereIsAnother) {
  auto first = open("127.0.0.1");
  open("127.0.0.1");
  connections_.touch(first, true, 0);
  for (int i = 0; i < 3; i++) open("127.0.0.1");
  EXPECT_FALSE(is_shut(0));
  EXPECT_TRUE(is_shut(1));
}

TEST_F(ConnectionsTest, AnAddressHasItsOwnLimitButNotLoopback) {
  open("127.0.0.1");
  open("10.0.0.1");
  open("10.0.0.1");
  open("10.0.0.1");
  EXPECT_FALSE(is_shut(0));
  EXPECT_TRUE(is_shut(1));
  EXPECT_FALSE(is_shut(2));
  EXPECT_EQ(connections_.size(), 3U);
}

TEST_F(ConnectionsTest, SilenceHasAnEndButAnAnswerMayTakeItsTime) {
  open("127.0.0.1", 10);
  auto answering = open("127.0.0.1", 10);
  connections_.touch(answering, true, 11);
  open("127.0.0.1", 50);
  connections_.expire(109, 100);
  EXPECT_FALSE(is_shut(0));
  connections_.expire(110, 100);
  EXPECT_TRUE(is_shut(0));
  EXPECT_FALSE(is_shut(1));
  EXPECT_FALSE(is_shut(2));
  connections_.touch(answering, false, 200);
  connections_.expire(300, 100);
  EXPECT_TRUE(is_shut(1));
  EXPECT_EQ(connections_.size(), 0U);
}

TEST_F(ConnectionsTest, CountsWhatCloses) {
  auto one = open("10.0.0.1");
  open("10.0.0.1");
  connections_.close(one);
  open("10.0.0.1");
  EXPECT_FALSE(is_shut(1));
  EXPECT_EQ(connections_.size(), 2U);
}

}  // namespace
}  // namespace loopsight
