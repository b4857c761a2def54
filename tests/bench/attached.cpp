// The kernel side alone, with one family of hooks, for measuring what others pay for it where the
// daemon itself is not wanted:
//
//   attached fentry|tracepoints [watched]
//
// Prints "attached" and stays so until standard input ends. What polls is told to be of no interest
// or, with "watched", to be a loop. Exit status 1 with the reason where the kernel refuses.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

#include "daemon/probe/tracer.h"

int main(int argc, char** argv) {
  std::string_view family = argc >= 2 ? argv[1] : "";
  bool watched = argc == 3 && std::string_view(argv[2]) == "watched";
  if ((family != "fentry" && family != "tracepoints") || argc > (watched ? 3 : 2)) {
    std::fputs("usage: attached fentry|tracepoints [watched]\n", stderr);
    return 2;
  }
  auto tracer =
      loopsight::Tracer::open({.allow_fentry = family == "fentry", .measure_cost = false});
  auto attached =
      tracer ? tracer->attach() : loopsight::Result<void>(tl::unexpected(tracer.error()));
  if (!attached) {
    std::fprintf(stderr, "attached: %s\n", attached.error().message.c_str());
    return 1;
  }
  // A family that is not there is replaced by the other without a word.
  bool is_fentry = false;
  for (const auto& probe : tracer->probes())
    is_fentry |= probe.name == "epoll_wait_fn_in" && probe.attached;
  if (is_fentry != (family == "fentry")) {
    std::fprintf(stderr, "attached: this kernel has no %s\n", argv[1]);
    return 1;
  }
  std::puts("attached");
  std::fflush(stdout);
  std::array<pollfd, 2> waited{pollfd{.fd = STDIN_FILENO, .events = POLLIN},
                               pollfd{.fd = tracer->poll_fd(), .events = POLLIN}};
  while (poll(waited.data(), waited.size(), -1) >= 0 || errno == EINTR) {
    if (waited[0].revents != 0) break;
    auto polled = tracer->poll(0, [&](std::span<const std::byte> bytes) {
      ls_poller poller{};
      if (bytes.size() < sizeof(poller)) return;
      std::memcpy(&poller, bytes.data(), sizeof(poller));
      if (poller.header.kind != LS_KIND_POLLER) return;
      (void)tracer->set_process(poller.header.tgid, watched ? LS_PROCESS_PYTHON : LS_PROCESS_OTHER);
      tracer->set_verdict(poller.row, poller.generation, watched, watched);
    });
    if (!polled) return 1;
  }
  return 0;
}
