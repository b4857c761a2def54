#include "daemon/web/request_head.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

std::string target_fault(std::string target) {
  return RequestHead{.target = std::move(target)}.fault();
}

std::string header_fault(Headers headers) {
  return RequestHead{.target = "/", .headers = std::move(headers)}.fault();
}

bool is_foreign(Headers headers) {
  headers.emplace_back("Host", "localhost:9788");
  return RequestHead{.target = "/", .headers = std::move(headers)}.is_of_another_site();
}

TEST(RequestHeadTest, TakesTargetsThatMeanOneThing) {
  for (const char* target : {"/", "/metrics", "/%6detrics", "/%25%30%30", "/a?b=%2f%5C&c=%20",
                             "/\xc3\xbc", "/%c0%80", "http://localhost:1/x", "HTTPS://localhost"})
    EXPECT_EQ(target_fault(target), "") << target;
}

TEST(RequestHeadTest, RefusesTheOthers) {
  for (const char* target : {"",     "*",      "metrics", "?",      "http:/x", "ftp://localhost/",
                             "/%00", "/%0a",   "/%7F",    "/%1f",   "/\x01",   "/\x7f",
                             "/ x",  "/a%2fb", "/a%2Fb",  "/a%5cb", "/%",      "/%2",
                             "/%zz", "/%0",    "/?a=%00", "/?a=%",  "/?%0d",   "/?a=%u0041"})
    EXPECT_NE(target_fault(target), "") << target;
  EXPECT_NE((RequestHead{.target = "/", .cut = true}.fault()), "");
}

TEST(RequestHeadTest, RefusesHeadersThatTwoReadersReadInTwoWays) {
  EXPECT_EQ(header_fault({{"Host", "a"}, {"content-length", "0"}, {"X", "a\tb \xc3\xbc"}}), "");
  for (const auto& [name, value] : Headers{{"Content-Length ", "1"},
                                           {"Content-Length\t", "1"},
                                           {"", "x"},
                                           {"a b", "x"},
                                           {"X", std::string("a\0b", 3)},
                                           {std::string("X\0", 2), "a"},
                                           {"X", "a\rb"},
                                           {"X", "a\x7f"},
                                           {"Content-Length", "+0"},
                                           {"Content-Length", "0x0"},
                                           {"Content-Length", "0, 0"},
                                           {"Content-Length", ""},
                                           {"Content-Length", "-1"}})
    EXPECT_NE(header_fault({{name, value}}), "") << name << value;
  EXPECT_NE(header_fault({{"Content-Length", "0"}, {"content-length", "0"}}), "");
  EXPECT_NE(header_fault({{"Authorization", "Basic x"}, {"authorization", "Basic y"}}), "");
  EXPECT_NE(header_fault({{"Content-Length", "0"}, {"Transfer-Encoding", "identity"}}), "");
}

TEST(RequestHeadTest, SaysWhichHostsItIsFor) {
  using Hosts = std::vector<std::string_view>;
  RequestHead head{.target = "/", .headers = {{"host", "a:1"}}};
  EXPECT_EQ(head.hosts(), Hosts{"a:1"});
  head.target = "http://b:2/x/y?z";
  EXPECT_EQ(head.hosts(), (Hosts{"a:1", "b:2"}));
  head.target = "http://c?x";
  EXPECT_EQ(head.hosts(), (Hosts{"a:1", "c"}));
  head.headers.emplace_back("Host", "a:1");
  EXPECT_TRUE(head.hosts().empty());
  head.headers.clear();
  EXPECT_TRUE(head.hosts().empty());
}

TEST(RequestHeadTest, KnowsWhatAnotherSiteMadeABrowserSend) {
  EXPECT_FALSE(is_foreign({}));
  EXPECT_FALSE(is_foreign({{"Origin", "http://LOCALHOST:9788"}}));
  EXPECT_FALSE(is_foreign({{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Mode", "cors"}}));
  EXPECT_FALSE(is_foreign({{"Sec-Fetch-Site", "none"}}));
  EXPECT_FALSE(is_foreign({{"Sec-Fetch-Site", "cross-site"},
                           {"Sec-Fetch-Mode", "navigate"},
                           {"Sec-Fetch-Dest", "document"}}));
  for (const char* origin : {"null", "http://evil.example", "http://localhost:97889",
                             "http://localhost", "localhost:9788", "http://localhost:9788.evil"})
    EXPECT_TRUE(is_foreign({{"Origin", origin}})) << origin;
  EXPECT_TRUE(is_foreign({{"Sec-Fetch-Site", "cross-site"}}));
  EXPECT_TRUE(is_foreign({{"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Mode", "cors"}}));
  EXPECT_TRUE(is_foreign({{"Sec-Fetch-Site", "cross-site"},
                          {"Sec-Fetch-Mode", "navigate"},
                          {"Sec-Fetch-Dest", "iframe"}}));
  EXPECT_TRUE(is_foreign({{"Sec-Fetch-Site", "x"}}));
}

}  // namespace
}  // namespace loopsight
