#include "daemon/web/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/base/fd.h"
#include "daemon/web/api.h"
#include "daemon/web/endpoints.h"
#include "daemon/web/listener.h"
#include "daemon/web/page.h"

namespace loopsight {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override { start({.address = "127.0.0.1:0"}); }

  void start(ServerOptions options) {
    auto server = HttpServer::start(std::move(options), routes());
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  Routes routes() {
    Routes routes;
    add_endpoints(routes, publication_, metrics_);
    add_api(routes, publication_, "1.0");
    add_page(routes);
    routes.add({.path = "/large", .handler = [](const HttpRequest&) -> HttpResponse {
                  return {.body = std::string(100'000, 'a')};
                }});
    // Has its answer half a second after the request came; with ?for=ever never.
    routes.add({.path = "/later", .parameters = {"for"}, .handler = [](const HttpRequest& request) {
                  uint64_t due = request.arrived_ns + 500'000'000;
                  if (!request.query.empty()) due += 3600'000'000'000;
                  return now_ns() < due ? HttpResponse{.again_ns = due} : HttpResponse{.body = "x"};
                }});
    routes.add({.path = "/throws", .handler = [](const HttpRequest&) -> HttpResponse {
                  throw std::runtime_error("no");
                }});
    return routes;
  }

  static uint64_t now_ns() {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
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

  std::string get(const std::string& path, const std::string& method = "GET",
                  const std::string& headers = "") const {
    return ask(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
               headers + "\r\n");
  }

  StallReport stall(uint64_t start_ms, uint32_t cause, const std::string& workload) {
    StallReport report{.process = {.workload = workload}, .cause = cause};
    report.stall = {
        .tid = 5, .start_ns = start_ms * 1'000'000, .end_ns = (start_ms + 60) * 1'000'000};
    return report;
  }

  Publication publication_{WallClock::fixed(0), "h", {.stalls = 3}};
  Metrics metrics_{publication_, "1.0"};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesWhatTheContractLists) {
  EXPECT_NE(get("/").find("text/html"), std::string::npos);
  EXPECT_NE(
      get("/metrics?any=thing").find("Content-Type: text/plain; version=0.0.4; charset=utf-8"),
      std::string::npos);
  EXPECT_NE(get("/-/healthy").find("200 OK"), std::string::npos);
  EXPECT_NE(get("/api/v1/loops").find("application/json"), std::string::npos);
  EXPECT_NE(get("/api/v1/status").find("\"version\":\"1.0\""), std::string::npos);
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
  EXPECT_NE(get("/metrics", "GET", "Content-Length: 3\r\n").find("400"), std::string::npos);
  std::string head = get("/metrics", "HEAD");
  EXPECT_NE(head.find("200 OK"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

TEST_F(HttpServerTest, EveryAnswerIsGuarded) {
  for (const char* path : {"/", "/metrics", "/nothing", "/api/v1/stalls?limit=x"}) {
    std::string answer = get(path);
    EXPECT_NE(answer.find("X-Content-Type-Options: nosniff"), std::string::npos) << path;
    EXPECT_NE(answer.find("Content-Security-Policy: default-src 'none'"), std::string::npos)
        << path;
  }
}

TEST_F(HttpServerTest, CompressesWhereThatIsAsked) {
  std::string packed = get("/large", "GET", "Accept-Encoding: br, gzip;q=0.5\r\n");
  EXPECT_NE(packed.find("Content-Encoding: gzip"), std::string::npos);
  EXPECT_LT(packed.size(), 5000U);
  for (const char* header : {"", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n"})
    EXPECT_GT(get("/large", "GET", header).size(), 100'000U) << header;
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
  EXPECT_EQ(list("workload", "w4").size(), 1U);
  EXPECT_EQ(list("workload", "w1").size(), 0U);
}

TEST_F(HttpServerTest, SaysWhatAParameterMayBe) {
  auto refused = [&](const char* name, const char* value) {
    HttpResponse response = respond({{name, value}});
    EXPECT_EQ(response.status, 400U) << name << value;
    return response.body;
  };
  for (const char* limit : {"x", "0", "-1", "1x", "10001", "99999999999999999999"})
    EXPECT_NE(refused("limit", limit).find("1 to 10000"), std::string::npos);
  EXPECT_NE(refused("cause", "<b>").find("page_fault"), std::string::npos);
  EXPECT_NE(refused("limits", "1").find("limit, workload, cause"), std::string::npos);
  refused("workload", std::string(300, 'w').c_str());
  EXPECT_EQ(respond({{"limit", "1"}, {"limit", "2"}}).status, 400U);
  EXPECT_EQ(respond({{"limit", "10000"}}).status, 200U);
}

TEST_F(HttpServerTest, KeepsStallsWithinTheirBytes) {
  Publication small(WallClock::fixed(0), "h", {.stalls = 1000, .bytes = 2000});
  for (uint64_t i = 1; i <= 50; i++)
    ASSERT_TRUE(small.on_stall(stall(i * 100, LS_CAUSE_CPU, "w" + std::to_string(i))));
  auto kept = small.stalls(1000, "", "", Audience::kOperator);
  size_t bytes = 0;
  for (const auto& one : kept) bytes += one->size();
  EXPECT_GE(kept.size(), 1U);
  EXPECT_LE(bytes, 2000U);
  EXPECT_NE(kept[0]->find("\"w50\""), std::string::npos);
}

TEST_F(HttpServerTest, ReplacesARunningStallByItsNewerReport) {
  StallReport running = stall(100, LS_CAUSE_CPU, "w");
  running.stall.in_progress = true;
  ASSERT_TRUE(publication_.on_stall(running));
  ASSERT_TRUE(publication_.on_stall(stall(100, LS_CAUSE_CPU, "w")));
  auto stalls = publication_.stalls(10, "", "", Audience::kOperator);
  ASSERT_EQ(stalls.size(), 1U);
  EXPECT_NE(stalls[0]->find("\"in_progress\":false"), std::string::npos);
}

TEST_F(HttpServerTest, ShowsPrivateExpressionsToWhoHasShownWhoHeIs) {
  StallReport report = stall(100, LS_CAUSE_SLEEP, "w");
  report.frames = {{.function = "leaf", .expression = "connect('leaf-secret')"}};
  report.culprit = Frame{.function = "f", .expression = "connect('secret')"};
  ASSERT_TRUE(publication_.on_stall(report));
  auto shown = [&](Audience audience) { return *publication_.stalls(1, "", "", audience)[0]; };
  EXPECT_NE(shown(Audience::kOperator).find("leaf-secret"), std::string::npos);
  EXPECT_NE(shown(Audience::kOperator).find("('secret"), std::string::npos);
  EXPECT_EQ(shown(Audience::kEverybody).find("secret"), std::string::npos);
  EXPECT_NE(shown(Audience::kEverybody).find("\"function\":\"f\""), std::string::npos);
  EXPECT_EQ(respond({}).body.find("secret"), std::string::npos);
  report.culprit->is_public = report.frames[0].is_public = true;
  ASSERT_TRUE(publication_.on_stall(report));
  EXPECT_EQ(shown(Audience::kEverybody), shown(Audience::kOperator));
}

TEST_F(HttpServerTest, ShowsEachLoop) {
  LoopLine loop{.process = {.workload = "w", .worker = 1, .python = "3.11.2"},
                .pid = 7,
                .tid = 8,
                .kind = LoopKind::kUvloop,
                .iterations = 3,
                .idle_ns = 2'000'000'000,
                .threshold_ns = 50'000'000,
                .utilisation = 0.25};
  loop.busy[LS_CAUSE_DISK] = 500'000'000;
  publication_.publish({.loops = {loop}, .threshold_ns = 50'000'000, .ready = true});
  auto loops = nlohmann::json::parse(routes().respond({.path = "/api/v1/loops"}).body);
  ASSERT_EQ(loops.size(), 1U);
  EXPECT_EQ(loops[0]["loop"], "uvloop");
  EXPECT_EQ(loops[0]["busy_seconds"], 0.5);
  EXPECT_EQ(loops[0]["causes"]["disk"], 0.5);
  EXPECT_EQ(loops[0]["utilisation"], 0.25);
  EXPECT_EQ(loops[0]["threshold_seconds"], 0.05);
}

TEST_F(HttpServerTest, IsNotHeldUpByIdleConnections) {
  std::vector<Fd> idle;
  for (int i = 0; i < 400; i++) {  // more than are let in
    idle.push_back(connect());
    if (i % 2 == 0) send(idle.back().get(), "GET /met", 8, MSG_NOSIGNAL);
  }
  auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(get("/metrics").find("200 OK"), std::string::npos);
  // Far below the idle time-out that a blocked server would need.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(HttpServerTest, AnAnswerMayComeLater) {
  Fd slow = connect();
  std::string request = "GET /later HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  uint64_t begin = now_ns();
  ASSERT_EQ(send(slow.get(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  EXPECT_NE(get("/-/healthy").find("200 OK"), std::string::npos);
  std::string answer(4096, '\0');
  ASSERT_GT(recv(slow.get(), answer.data(), answer.size(), 0), 0);
  EXPECT_NE(answer.find("200 OK"), std::string::npos);
  EXPECT_GE(now_ns() - begin, 500'000'000U);
}

TEST_F(HttpServerTest, StopsWhileAnAnswerIsDue) {
  Fd slow = connect();
  std::string request = "GET /later?for=ever HTTP/1.1\r\nHost: localhost\r\n\r\n";
  send(slow.get(), request.data(), request.size(), MSG_NOSIGNAL);
  EXPECT_NE(get("/-/healthy").find("200 OK"), std::string::npos);
  server_.reset();  // hangs or aborts where the connection was not given back
}

TEST_F(HttpServerTest, OutlivesAHandlerThatFails) {
  EXPECT_NE(get("/throws").find("500"), std::string::npos);
  EXPECT_NE(get("/-/healthy").find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, AsksForAPassword) {
  std::string path = testing::TempDir() + "web.yml";
  std::ofstream(path) << "basic_auth_users:\n"  // "secret"
                         "  alice: $2y$04$X0h1gDsPszWURQaxFh.zouZdfSt7HzEy4CLiI.zRYe8se5CVhYyZ.\n"
                         "http_server_config: {headers: {X-Frame-Options: sameorigin}}\n";
  start({.address = "127.0.0.1:0", .config_file = path});
  auto with = [&](const char* credentials) {
    return get("/metrics", "GET", std::string("Authorization: ") + credentials + "\r\n");
  };
  EXPECT_NE(get("/metrics").find("WWW-Authenticate: Basic"), std::string::npos);
  for (int i = 0; i < 2; i++) {  // hashed, then remembered
    std::string answer = with("Basic YWxpY2U6c2VjcmV0");
    EXPECT_NE(answer.find("200 OK"), std::string::npos);
    EXPECT_NE(answer.find("X-Frame-Options: sameorigin"), std::string::npos);
  }
  for (const char* wrong : {"Basic YWxpY2U6U2VjcmV0", "Basic Ym9iOnNlY3JldA==", "Basic YWxpY2U=",
                            "Basic !!!!", "Bearer YWxpY2U6c2VjcmV0", "Basic"})
    EXPECT_NE(with(wrong).find("401"), std::string::npos) << wrong;
}

TEST_F(HttpServerTest, AnswersToItsOwnNames) {
  start({.address = "127.0.0.1:0", .names = HostNames("node1", {})});
  auto status = [&](const std::string& head) {
    return ask("GET " + head + "\r\nConnection: close\r\n\r\n").substr(0, 12);
  };
  EXPECT_EQ(status("/metrics HTTP/1.1\r\nHost: node1:9788"), "HTTP/1.1 200");
  EXPECT_EQ(status("http://node1/metrics HTTP/1.1\r\nHost: node1"), "HTTP/1.1 200");
  for (const char* head :
       {"/metrics HTTP/1.1", "/metrics HTTP/1.0", "/metrics HTTP/1.1\r\nHost: evil.example",
        "/metrics HTTP/1.1\r\nHost: node1\r\nHost: node1", "http://evil/ HTTP/1.1\r\nHost: node1"})
    EXPECT_EQ(status(head), "HTTP/1.1 421") << head;
  EXPECT_EQ(server_->refusals().counts()[static_cast<size_t>(Refused::kForeignHost)].second, 5U);
}

TEST_F(HttpServerTest, SaysTheSameToEverybodyWhoReadsARequest) {
  using namespace std::string_literals;
  for (const std::string& target :
       {"/%00"s, "/\0"s, "/metrics\0x"s, "/metrics?a=\0"s, "/ x"s, "/a%2fb"s}) {
    std::string answer = get(target);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400")) << target;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  }
  EXPECT_NE(get("/metrics", "GET", "Origin: null\r\n").find(" 403 "), std::string::npos);
  for (const std::string& header : {"X: a\0b\r\n"s, "X: a\0\r\nY: b\r\n"s, "X: a\r\n b\r\n"s})
    EXPECT_NE(get("/metrics", "GET", header).find(" 400 "), std::string::npos) << header;
  EXPECT_NE(get("/metrics", "GET", "X:  a \t\r\nY:\r\nZ:b\r\n").find(" 200 "), std::string::npos);
  EXPECT_NE(get("/metrics", "GET", "Content-Length : 3\r\n").find(" 400 "), std::string::npos);
}

TEST_F(HttpServerTest, HealthMayBeOpenWhereTheRestIsNot) {
  std::string path = testing::TempDir() + "health.yml";
  std::ofstream(path) << "basic_auth_users: {a: "
                         "$2y$04$X0h1gDsPszWURQaxFh.zouZdfSt7HzEy4CLiI.zRYe8se5CVhYyZ.}\n";
  start({.address = "127.0.0.1:0", .config_file = path});
  EXPECT_NE(get("/-/healthy").find("401"), std::string::npos);
  start({.address = "127.0.0.1:0", .config_file = path, .open_health = true});
  EXPECT_NE(get("/-/healthy").find("200"), std::string::npos);
  EXPECT_NE(get("/-/ready").find("503"), std::string::npos);
  EXPECT_NE(get("/metrics").find("401"), std::string::npos);
  EXPECT_NE(get("/nothing").find("401"), std::string::npos);
}

TEST_F(HttpServerTest, WhoGuessesOnIsToldToWait) {
  std::string path = testing::TempDir() + "guess.yml";
  std::ofstream(path) << "basic_auth_users: {alice: "
                         "$2y$04$X0h1gDsPszWURQaxFh.zouZdfSt7HzEy4CLiI.zRYe8se5CVhYyZ.}\n";
  start({.address = "127.0.0.1:0", .config_file = path});
  std::string wrong = "Authorization: Basic YWxpY2U6U2VjcmV0\r\n";
  for (size_t i = 0; i < kFailedLogins; i++)
    EXPECT_NE(get("/metrics", "GET", wrong).find("401"), std::string::npos);
  std::string answer = get("/metrics", "GET", wrong);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 429"));
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos);
  // The right one is let in all the same, and never waits again.
  std::string right = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
  EXPECT_NE(get("/metrics", "GET", right).find("200"), std::string::npos);
}

TEST_F(HttpServerTest, TakesASocketThatListensAlready) {
  auto listener = open_listener("127.0.0.1:0");
  ASSERT_TRUE(listener);
  uint16_t port = bound_port(listener->socket.get());
  start({.listener = std::move(listener->socket)});
  EXPECT_EQ(server_->port(), port);
  EXPECT_NE(get("/-/healthy").find("200 OK"), std::string::npos);
}

TEST_F(HttpServerTest, SaysWhyItCannotStart) {
  std::string taken = "127.0.0.1:" + std::to_string(server_->port());
  auto second = HttpServer::start({.address = taken}, {});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
  for (const char* address : {"", "9788", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x"})
    EXPECT_FALSE(HttpServer::start({.address = address}, {})) << address;
  EXPECT_FALSE(HttpServer::start({.address = "127.0.0.1:0", .config_file = "/no/such"}, {}));
}

}  // namespace
}  // namespace loopsight
