// `loopsight top`: the loops of a daemon, or of a trace of its own, live in a terminal.
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "daemon/command/commands.h"
#include "daemon/host/source_reader.h"
#include "daemon/live/live.h"
#include "daemon/live/live_source.h"
#include "daemon/probe/privileges.h"
#include "daemon/sink/publication.h"
#include "daemon/top/api_client.h"
#include "daemon/top/terminal.h"
#include "daemon/top/top_feed.h"
#include "daemon/version.h"
#include "daemon/web/api.h"

namespace loopsight {
namespace {

constexpr int kKeyWaitMs = 200;

// What the daemon does, in this process, without HTTP.
class OwnTrace {
 public:
  static Result<std::unique_ptr<OwnTrace>> start(uint64_t threshold_ns, Fd signals) {
    auto reader = SourceReader::start();
    if (!reader) return tl::make_unexpected(reader.error());
    auto tracer =
        Tracer::open({.threshold_ns = threshold_ns, .listed_only = false, .charge_records = true});
    if (!tracer) return tl::make_unexpected(tracer.error());
    std::unique_ptr<OwnTrace> own(
        new OwnTrace(std::move(*tracer), threshold_ns, std::move(signals)));
    if (auto attached = own->tracer_.attach(); !attached)
      return tl::make_unexpected(attached.error());
    if (auto dropped = drop_privileges(); !dropped) return tl::make_unexpected(dropped.error());
    own->source_.read_sources_by(*reader);
    if (auto scanned = own->source_.scan(); !scanned) return tl::make_unexpected(scanned.error());
    own->publication_.publish(own->source_.snapshot());
    own->thread_ = std::thread([one = own.get()] { one->run(); });
    return own;
  }

  ~OwnTrace() {
    if (!thread_.joinable()) return;
    kill(getpid(), SIGTERM);  // blocked here: run_live() reads it from the descriptor
    thread_.join();
  }

  Result<TopSample> take() const {
    auto loops = routes_.respond({.path = kLoopsPath});
    auto stalls = routes_.respond(
        {.path = kStallsPath, .query = {{"limit", kStallsLimit}}, .is_authenticated = true});
    return parse_sample(loops.body, stalls.body);
  }

  bool has_ended() const { return ended_; }
  const std::string& error() const { return error_; }  // once it has ended; "" without

 private:
  OwnTrace(Tracer tracer, uint64_t threshold_ns, Fd signals)
      : signals_(std::move(signals)),
        publication_(WallClock::live(), host_name()),
        tracer_(std::move(tracer)),
        pipeline_(threshold_ns, {&publication_}),
        source_(tracer_, pipeline_, nullptr, ProbeOptions{}) {
    add_api(routes_, publication_, kVersion);
  }

  void run() {
    auto status = run_live(
        source_, signals_, tracer_.poll_fd(),
        {.duration_ns = std::nullopt, .child = nullptr, .pids = {}, .every_second = [this] {
           publication_.publish(source_.snapshot());
         }});
    if (!status) error_ = status.error().message;
    ended_ = true;
  }

  Fd signals_;
  Publication publication_;
  Tracer tracer_;
  Pipeline pipeline_;
  LiveSource source_;
  Routes routes_;
  std::string error_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

// Whether there is something to read. `gone`: the terminal has been closed.
bool wait_for_input(int fd, int other, bool& gone) {
  std::array<pollfd, 2> fds = {
      {{.fd = fd, .events = POLLIN, .revents = 0}, {.fd = other, .events = POLLIN, .revents = 0}}};
  if (::poll(fds.data(), fds.size(), kKeyWaitMs) <= 0) return false;
  gone = (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  return fds[1].revents != 0;
}

// Until the person, a signal or `has_ended` ends it.
Result<void> show(const TopFeed& feed, const std::string& source, int signal_fd,
                  const std::function<bool()>& has_ended) {
  auto terminal = Terminal::open(!std::getenv("NO_COLOR"));
  if (!terminal) return tl::make_unexpected(terminal.error());
  TopModel model;
  TopView view;
  TopStatus status{.source = source, .ascii_only = terminal->is_ascii_only()};
  uint64_t seen = 0;
  bool gone = false;
  while (!gone && !has_ended()) {
    auto look = feed.latest();
    status.error = look.error;
    if (look.number != seen && !view.is_paused()) {
      model.update(look.sample, look.seconds);
      seen = look.number;
    }
    status.stalls = model.stalls();
    view.arrange(model.rows());
    terminal->draw(draw_top(view, status, terminal->width(), terminal->height()));
    bool signalled = wait_for_input(STDIN_FILENO, signal_fd, gone);
    if (signalled) return {};
    while (auto key = terminal->read_key()) {
      if (!view.on_key(key->key, key->character, rows_of_list(terminal->height()))) return {};
      view.arrange(model.rows());
    }
  }
  return {};
}

Result<int> show_api(ApiClient client, const std::string& url, const Fd& signals) {
  std::string stalls_path = fmt::format("{}?limit={}", kStallsPath, kStallsLimit);
  TopFeed feed([&]() -> Result<TopSample> {
    auto loops = client.get(kLoopsPath);
    if (!loops) return tl::make_unexpected(loops.error());
    auto stalls = client.get(stalls_path);
    if (!stalls) return tl::make_unexpected(stalls.error());
    return parse_sample(*loops, *stalls);
  });
  if (auto shown = show(feed, shown_url(url), signals.get(), [] { return false; }); !shown)
    return tl::make_unexpected(shown.error());
  return 0;
}

Result<int> show_own(uint64_t threshold_ns, Fd signals) {
  auto own = OwnTrace::start(threshold_ns, std::move(signals));
  if (!own) return tl::make_unexpected(own.error());
  {
    TopFeed feed([&] { return (*own)->take(); });
    if (auto shown = show(feed, "own trace", -1, [&] { return (*own)->has_ended(); }); !shown)
      return tl::make_unexpected(shown.error());
  }
  if ((*own)->has_ended() && !(*own)->error().empty()) return failure((*own)->error());
  return 0;
}

}  // namespace

Result<int> top(const TopConfig& config) {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
    return failure("top needs a terminal; 'loopsight trace' and the daemon's API do without");
  auto signals = open_signals();
  if (!signals) return tl::make_unexpected(signals.error());
  spdlog::set_level(spdlog::level::off);  // a line on standard error would tear the picture
  auto client = ApiClient::create({.url = config.url, .ca_file = config.ca_file});
  if (!client) return tl::make_unexpected(client.error());
  auto answer = client->get(kLoopsPath);
  if (answer) return show_api(std::move(*client), config.url, *signals);
  if (config.url_given) return tl::make_unexpected(answer.error());
  if (geteuid() != 0)
    return failure(answer.error().message +
                   "; start 'loopsight run', name a daemon with --url, or run as root to trace "
                   "without one");
  return show_own(config.threshold_ns, std::move(*signals));
}

}  // namespace loopsight
