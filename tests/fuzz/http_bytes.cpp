// Raw bytes to a server: libmicrohttpd's parser, and all that is behind it. A first byte that is
// odd goes to the server that asks for a password.
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/web/http_server.h"
#include "tests/fuzz/served.h"
#include "tests/fuzz/target.h"

namespace loopsight {
namespace {

// The password is "test"; bcrypt of the least cost.
constexpr const char* kUsers =
    "basic_auth_users:\n  user: $2b$04$abcdefghijklmnopqrstuuoD8yw7MmybLKVooaTGGZAt3HXugv2.a\n";

class Server {
 public:
  explicit Server(Routes routes, const std::string& config)
      : address_{.sun_family = AF_UNIX}, config_(config) {
    // An abstract name, which the kernel gives out.
    Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    auto* address = reinterpret_cast<sockaddr*>(&address_);
    fuzz::require(
        bind(listener.get(), address, sizeof(sa_family_t)) == 0 && listen(listener.get(), 64) == 0,
        "a listening socket");
    size_ = sizeof(address_);
    getsockname(listener.get(), address, &size_);
    ServerOptions options;
    options.listener = std::move(listener);
    if (!config.empty()) options.config_file = config_.path();
    auto server = HttpServer::start(std::move(options), std::move(routes));
    fuzz::require(server.has_value(), "a server");
    server_ = std::move(*server);
  }

  // Waits for the end of its answer.
  void ask(std::string_view request) const {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    timeval patience{.tv_sec = 15};  // the server's own is shorter
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), size_) != 0) return;
    send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
    // libmicrohttpd takes a read that is not full for the last one: an end that comes with the
    // bytes is seen only when its patience ends.
    pollfd answer{.fd = fd.get(), .events = POLLIN};
    int unread = 1;
    for (int i = 0; i < 10'000 && unread > 0 && poll(&answer, 1, 0) == 0; i++) {
      usleep(20);
      if (ioctl(fd.get(), SIOCOUTQ, &unread) != 0) break;
    }
    shutdown(fd.get(), SHUT_WR);
    std::array<char, 65536> buffer{};
    while (recv(fd.get(), buffer.data(), buffer.size(), 0) > 0) {
    }
  }

 private:
  sockaddr_un address_;
  socklen_t size_ = 0;
  fuzz::MemoryFile config_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace
}  // namespace loopsight

FUZZ_TARGET(http_bytes, input) {
  static fuzz::Served served;
  static const Server open(served.routes(false), "");
  static const Server guarded(served.routes(false), kUsers);
  if (input.empty()) return;
  const Server& server = input[0] & 1 ? guarded : open;
  server.ask(input.substr(1));
}
