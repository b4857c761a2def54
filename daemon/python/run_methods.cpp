#include "daemon/python/run_methods.h"

#include <algorithm>
#include <array>

#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

using Names = std::span<const std::string_view>;
using std::string_view_literals::operator""sv;

constexpr std::array kAsyncioCallers = {"run_forever"sv, "run_until_complete"sv};
constexpr std::array kTrioPolls = {"get_events"sv};
constexpr std::array kTwistedPolls = {"doPoll"sv, "doSelect"sv, "doIteration"sv};
constexpr std::array kKombuPolls = {"poll"sv, "_poll"sv};
constexpr std::array kKombuCallers = {"asynloop"sv};
constexpr std::array kEventletPolls = {"do_poll"sv, "wait"sv};
constexpr std::array kCurioPolls = {"select"sv};
constexpr std::array kTornadoPolls = {"poll"sv};

constexpr RunMethod kRunMethods[] = {
    // Of a subclass too, and of what replaces it (nest_asyncio), in whichever file: see is_method.
    {.module = "",
     .function = "_run_once",
     .kind = LoopKind::kAsyncio,
     .callback = "_run",
     .callers = kAsyncioCallers,
     .by_self = true},
    {.module = "trio._core._run", .function = "run", .kind = LoopKind::kTrio, .polls = kTrioPolls},
    {.module = "twisted.internet.base",
     .function = "mainLoop",
     .kind = LoopKind::kTwisted,
     .polls = kTwistedPolls},
    {.module = "kombu.asynchronous.hub",
     .function = "create_loop",
     .kind = LoopKind::kKombu,
     .polls = kKombuPolls,
     .callers = kKombuCallers,
     .sleeps = true},
    {.module = "eventlet.hubs.hub",
     .function = "run",
     .kind = LoopKind::kEventlet,
     .polls = kEventletPolls,
     .greenlets = true,
     .sleeps = true},
    {.module = "gevent.hub",
     .function = "run",
     .kind = LoopKind::kGevent,
     .polls = {},
     .callback = "*",
     .greenlets = true},
    {.module = "curio.kernel",
     .function = "kernel_run",
     .kind = LoopKind::kCurio,
     .polls = kCurioPolls},
    {.module = "tornado.ioloop",  // before Tornado 5, which runs on asyncio
     .function = "start",
     .kind = LoopKind::kTornado,
     .polls = kTornadoPolls},
    {.module = "rloop.loop",
     .function = "run_forever",
     .kind = LoopKind::kRloop,
     .callback = "*",
     .by_self = true},
};

// What runs on another loop, by the function that runs that one.
struct Host {
  std::string_view module;
  std::string_view function;
  LoopKind kind;
};
constexpr Host kHosts[] = {
    {"tornado.platform.asyncio", "start", LoopKind::kTornado},
    {"tornado.ioloop", "run_sync", LoopKind::kTornado},
    {"twisted.internet.base", "run", LoopKind::kTwisted},
    {"twisted.internet.asyncioreactor", "run", LoopKind::kTwisted},
};

bool is_one_of(std::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Where the method is called again and again from; itself where it is not. A tracer's wrapper may
// stand between.
size_t find_caller(const std::vector<Frame>& frames, size_t index, const RunMethod& method) {
  constexpr size_t kMostBetween = 3;
  for (size_t i = index + 1; i < std::min(frames.size(), index + 2 + kMostBetween); i++)
    if (is_one_of(last_name(frames[i].function), method.callers)) return i;
  return index;
}

// A name that others may use too counts only where its caller is there as well.
bool is_method(const std::vector<Frame>& frames, size_t index, const RunMethod& method) {
  const Frame& frame = frames[index];
  if (last_name(frame.function) != method.function) return false;
  if (method.module.empty())
    return find_caller(frames, index, method) != index ||
           is_of_module(frame.file, "asyncio.base_events");
  return is_of_module(frame.file, method.module);
}

bool is_way_to_poll(const std::vector<Frame>& frames, size_t index, const RunMethod& method) {
  if (index == 0) return true;
  if (method.polls.empty())
    return method.callback != "*" && last_name(frames[index - 1].function) != method.callback;
  return std::all_of(frames.begin(), frames.begin() + static_cast<ptrdiff_t>(index),
                     [&](const Frame& frame) {
                       std::string_view name = last_name(frame.function);
                       return is_one_of(name, method.polls) || name == "select";
                     });
}

LoopKind kind_of(const std::vector<Frame>& frames, size_t index, const RunMethod& method) {
  if (method.kind != LoopKind::kAsyncio) return method.kind;
  for (size_t i = index + 1; i < frames.size(); i++) {
    if (last_name(frames[i].function) == method.callback) break;  // of a loop further out
    for (const Host& host : kHosts)
      if (last_name(frames[i].function) == host.function &&
          is_of_module(frames[i].file, host.module))
        return host.kind;
  }
  return method.kind;
}

bool is_configured(const Frame& frame, const RunMethodName& method) {
  bool same = frame.function == method.function ||
              (method.function.find('.') == std::string::npos &&
               last_name(frame.function) == method.function) ||
              (frame.function.find('.') == std::string::npos &&  // before 3.11
               last_name(method.function) == frame.function);
  return same && is_of_module(frame.file, method.module);
}

}  // namespace

bool is_of_module(std::string_view file, std::string_view module) {
  if (file.starts_with("<frozen ") && file.ends_with(">"))
    return file.substr(8, file.size() - 9) == module;
  for (std::string_view suffix : {".py", ".pyc", "/__init__.py", "/__init__.pyc"}) {
    if (file.size() < module.size() + suffix.size() || !file.ends_with(suffix)) continue;
    std::string_view path = file.substr(0, file.size() - suffix.size());
    std::string_view tail = path.substr(path.size() - module.size());
    bool same = std::equal(tail.begin(), tail.end(), module.begin(), module.end(),
                           [](char a, char b) { return a == b || (a == '/' && b == '.'); });
    if (same && (tail.size() == path.size() || path[path.size() - tail.size() - 1] == '/'))
      return true;
  }
  return false;
}

size_t idle_frame(const RunningLoop& loop, const std::vector<Frame>& frames) {
  // Eventlet's hub sleeps in its wait(), kombu's in its run method.
  bool in_wait = loop.method > 0 && last_name(frames[loop.method - 1].function) == "wait";
  return in_wait ? loop.method - 1 : loop.method;
}

std::optional<RunningLoop> find_running_loop(const std::vector<Frame>& frames,
                                             std::span<const RunMethodName> configured) {
  for (size_t i = 0; i < frames.size(); i++) {
    for (const RunMethodName& method : configured)
      if (is_configured(frames[i], method))
        return RunningLoop{.kind = LoopKind::kConfigured, .method = i, .outer = i, .polls = i <= 1};
    for (const RunMethod& method : kRunMethods) {
      if (!is_method(frames, i, method)) continue;
      return RunningLoop{.kind = kind_of(frames, i, method),
                         .method = i,
                         .outer = find_caller(frames, i, method),
                         .polls = is_way_to_poll(frames, i, method),
                         .by_self = method.by_self,
                         .greenlets = method.greenlets,
                         .sleeps = method.sleeps};
    }
  }
  return std::nullopt;
}

}  // namespace loopsight
