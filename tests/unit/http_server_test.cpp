#include "daemon/web/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "daemon/base/fd.h"
#include "daemon/web/api.h"
#include "daemon/web/endpoints.h"
#include "daemon/web/page.h"

namespace loopsight {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::start({.address = "127.0.0.1:0"}, routes());
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  Routes routes() {
    Routes routes;
    add_endpoints(routes, publication_, metrics_);
    add_api(routes, publication_);
    add_page(routes);
    return routes;
  }

  HttpResponse respond(std::vector<std::pair<std::string, std::string>> query) {
    return routes().respond({.path = "/api/v1/stalls", .query = std::move(query)});
  }

  Fd connect() const {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  std::string ask(const std::string& request) const {
    Fd fd = connect();
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    std::string answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
      answer.append(buffer, static_cast<size_t>(got));
    return answer;
  }

  std::string get(const std::string& path, const std::string& method = "GET") const {
    return ask(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  StallReport stall(uint64_t start_ms, uint32_t cause, const std::string& workload) {
    StallReport report{.process = {.workload = workload}, .cause = cause};
    report.stall = {
        .tid = 5, .start_ns = start_ms * 1'000'000, .end_ns = (start_ms + 60) * 1'000'000};
    return report;
  }

  Publication publication_{WallClock::fixed(0), "h", 3};
  Metrics metrics_{publication_, "1.0"};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesWhatTheContractLists) {
  EXPECT_NE(get("/").find("text/html"), std::string::npos);
  EXPECT_NE(get("/metrics").find("Content-Type: text/plain; version=0.0.4; charset=utf-8"),
            std::string::npos);
  EXPECT_NE(get("/-/healthy").find("200 OK"), std::string::npos);
  EXPECT_NE(get("/api/v1/loops").find("application/json"), std::string::npos);
  EXPECT_NE(get("/nothing").find("404"), std::string::npos);
}

TEST_F(HttpServerTest, IsReadyOnceSomethingWasPublished) {
  EXPECT_NE(get("/-/ready").find("503"), std::string::npos);
  publication_.publish({.ready = true});
  EXPECT_NE(get("/-/ready").find("200"), std::string::npos);
}

TEST_F(HttpServerTest, TakesOnlyGetAndHead) {
  EXPECT_NE(get("/metrics", "POST").find("405"), std::string::npos);
  EXPECT_NE(get("/metrics", "DELETE").find("Allow: GET, HEAD"), std::string::npos);
  std::string head = get("/metrics", "HEAD");
  EXPECT_NE(head.find("200 OK"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

TEST_F(HttpServerTest, ShowsTheNewestStallsFirstFilteredAndBounded) {
  for (uint64_t i = 1; i <= 5; i++)
    ASSERT_TRUE(publication_.on_stall(
        stall(i * 100, i % 2 == 0 ? LS_CAUSE_DISK : LS_CAUSE_CPU, "w" + std::to_string(i))));
  auto list = [&](const char* name, const char* value) {
    return nlohmann::json::parse(respond({{name, value}}).body);
  };
  EXPECT_EQ(nlohmann::json::parse(respond({}).body).size(), 3U);  // the ring holds three
  EXPECT_EQ(list("limit", "1").at(0)["workload"], "w5");
  EXPECT_EQ(list("cause", "disk").size(), 1U);
  EXPECT_EQ(respond({{"limit", "x"}}).status, 400U);
  EXPECT_EQ(respond({{"limits", "1"}}).status, 400U);
}

TEST_F(HttpServerTest, ReplacesARunningStallByItsNewerReport) {
  StallReport running = stall(100, LS_CAUSE_CPU, "w");
  running.stall.in_progress = true;
  ASSERT_TRUE(publication_.on_stall(running));
  ASSERT_TRUE(publication_.on_stall(stall(100, LS_CAUSE_CPU, "w")));
  auto stalls = publication_.stalls(10, "", "");
  ASSERT_EQ(stalls.size(), 1U);
  EXPECT_FALSE(stalls[0]["in_progress"].get<bool>());
}

TEST_F(HttpServerTest, IsNotHeldUpByIdleConnections) {
  std::vector<Fd> idle;
  for (int i = 0; i < 40; i++) {
    idle.push_back(connect());
    send(idle.back().get(), "GET /met", 8, MSG_NOSIGNAL);
  }
  auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(get("/metrics").find("200 OK"), std::string::npos);
  // Far below the idle time-out that a blocked server would need.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(HttpServerTest, SaysWhyItCannotListen) {
  std::string taken = "127.0.0.1:" + std::to_string(server_->port());
  auto second = HttpServer::start({.address = taken}, {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
  for (const char* address : {"", "9788", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x"})
    EXPECT_FALSE(HttpServer::start({.address = address}, {})) << address;
}

}  // namespace
}  // namespace loopsight
