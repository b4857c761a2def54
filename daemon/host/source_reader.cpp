#include "daemon/host/source_reader.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "daemon/host/source_channel.h"
#include "daemon/host/source_server.h"

namespace loopsight {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPatience{1300};  // longer than the reader's own with one file

}  // namespace

Result<std::shared_ptr<SourceReader>> SourceReader::start() {
  std::array<int, 2> pair{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return failure(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  Fd ours(pair[0]);
  Fd theirs(pair[1]);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  pid_t keeper = fork();
  if (keeper == 0) {
    ours.reset();
    keep_source_server(std::move(theirs));
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (keeper < 0) return failure(fmt::format("cannot start a process: {}", std::strerror(errno)));
  std::shared_ptr<SourceReader> reader(new SourceReader(std::move(ours), keeper));
  theirs.reset();
  // It is ready, or it has no sandbox and is gone: then nothing is read by it.
  bool timed_out = false;
  auto bytes = receive_bytes(reader->socket_.get(), 10'000, timed_out);
  auto hello = bytes ? decode_source_answer(*bytes) : std::nullopt;
  if (!hello || hello->outcome != SourceOutcome::kStarted)
    return failure(
        "the process that reads source files cannot give up its rights; what it needs is in "
        "loopsight(8)");
  reader->started_++;
  return reader;
}

SourceReader::~SourceReader() {
  socket_.reset();
  waitpid(keeper_, nullptr, 0);  // never waits for a file
}

SourceReader::Counts SourceReader::counts() const {
  return {.hung = hung_, .died = died_, .restarted = std::max<uint64_t>(started_, 1) - 1};
}

SourceAnswer SourceReader::wait_for_answer(const SourceRequest& request) {
  auto end = Clock::now() + kPatience;
  for (;;) {
    auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
    bool timed_out = false;
    auto bytes = left > 0 ? receive_bytes(socket_.get(), static_cast<int>(left), timed_out)
                          : std::optional<std::vector<std::byte>>();
    if (!bytes && (timed_out || left <= 0)) return {.outcome = SourceOutcome::kHung};
    if (!bytes) {
      if (!std::exchange(is_gone_, true))
        spdlog::error("the process that reads source files has ended: no expression is shown");
      return {.outcome = SourceOutcome::kDied};
    }
    auto answer = decode_source_answer(*bytes);
    if (answer && answer->outcome == SourceOutcome::kStarted) {
      started_++;
      return {.outcome = SourceOutcome::kDied};  // it was what the last one died of, perhaps
    }
    // One to an earlier question came too late.
    if (answer && answers(*answer, request)) return std::move(*answer);
  }
}

SourceAnswer SourceReader::ask(SourceRequest request, const Fd& base, const Fd& host_root) {
  std::unique_lock lock(mutex_, kPatience);
  if (!lock) return {.outcome = SourceOutcome::kHung};
  if (is_gone_) return {.outcome = SourceOutcome::kDied};
  request.number = ++number_;
  auto bytes = encode(request);
  if (!decode_source_request(bytes)) return {.outcome = SourceOutcome::kBadRequest};
  bool sent = send_message(socket_.get(), bytes, base.get(), host_root.get());
  SourceAnswer answer =
      sent ? wait_for_answer(request) : SourceAnswer{.outcome = SourceOutcome::kDied};
  if (answer.outcome == SourceOutcome::kHung) hung_++;
  if (answer.outcome == SourceOutcome::kDied) died_++;
  return answer;
}

}  // namespace loopsight
