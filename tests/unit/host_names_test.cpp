#include "daemon/web/host_names.h"

#include <gtest/gtest.h>

#include "daemon/config/host_pattern.h"

namespace loopsight {
namespace {

TEST(HostNamesTest, AnAddressIsNobodysName) {
  HostNames names;
  for (const char* one : {"127.0.0.1", "127.0.0.1:9788", "10.1.2.3:", "[::1]", "[::1]:9788",
                          "[2001:db8::1]:1", "[::ffff:10.0.0.1]"})
    EXPECT_TRUE(names.has(one)) << one;
  for (const char* one : {"127.1",
                          "2130706433",
                          "0x7f.0.0.1",
                          "0177.0.0.1x",
                          "127.0.0.1.",
                          "127.0.0.1.evil.example",
                          "127.0.0.1:x",
                          "127.0.0.1:1:2",
                          "127.0.0.1:123456",
                          "::1",
                          "[::1",
                          "[::1]x",
                          "[::1]:x",
                          "[]",
                          "[127.0.0.1]",
                          "[fe80::1%25eth0]",
                          "[evil.example]",
                          "127.0.0.1 ",
                          " 127.0.0.1",
                          ""})
    EXPECT_FALSE(names.has(one)) << one;
  EXPECT_FALSE(names.has(std::string_view("127.0.0.1\0", 10)));
  EXPECT_FALSE(names.has(std::string_view("localhost\0.evil.example", 23)));
}

TEST(HostNamesTest, KnowsItsOwnNameInAnySpelling) {
  HostNames names("Node1", {});
  for (const char* one :
       {"localhost", "LOCALHOST:9788", "localhost.", "node1", "NODE1:9788", "node1.", "node1.:80"})
    EXPECT_TRUE(names.has(one)) << one;
  for (const char* one : {"node2", "node1.evil.example", "xnode1", "a.localhost", "localhost..",
                          ".localhost", "user@localhost", "localhost/", "*", ":80"})
    EXPECT_FALSE(names.has(one)) << one;
}

TEST(HostNamesTest, TakesWhatIsConfigured) {
  HostNames names("", {"Metrics.Example.", "*.nodes.example", "not a name"});
  for (const char* one : {"metrics.example:443", "METRICS.example.", "a.nodes.example",
                          "b.a.Nodes.example:1", "a.nodes.example."})
    EXPECT_TRUE(names.has(one)) << one;
  for (const char* one :
       {"x.metrics.example", "nodes.example", ".nodes.example", "xnodes.example", "*.nodes.example",
        "a..nodes.example", "not a name", "a.nodes.example.evil.example"})
    EXPECT_FALSE(names.has(one)) << one;
}

TEST(HostNamesTest, KnowsWhatANameIs) {
  for (const char* one : {"a", "a.b", "a.b.", "a-b_c.1", "*.a"}) EXPECT_TRUE(is_host_pattern(one));
  for (const char* one : {"", ".", "*", "*.", "*.*.a", "a..b", ".a", "a:1", "a b", "a/b", "[::1]"})
    EXPECT_FALSE(is_host_pattern(one)) << one;
  EXPECT_FALSE(is_host_name("*.a"));
  EXPECT_FALSE(is_host_name(std::string(254, 'a')));
}

}  // namespace
}  // namespace loopsight
