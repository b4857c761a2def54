#include "daemon/python/own_code.h"

#include <gtest/gtest.h>

#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

constexpr const char* kLib = "/usr/lib/python3.11/";
constexpr const char* kSite = "/v/lib/python3.11/site-packages/";

Frame frame(const std::string& function, const std::string& file) {
  return {.function = function, .module = module_name(file), .file = file, .line = 1};
}
Frame lib(const std::string& function, const std::string& file) {
  return frame(function, kLib + file);
}
Frame site(const std::string& function, const std::string& file) {
  return frame(function, kSite + file);
}

// What stands above a callback of asyncio's loop.
std::vector<Frame> below_asyncio(std::vector<Frame> frames, std::vector<Frame> launcher) {
  for (const Frame& one :
       {lib("Handle._run", "asyncio/events.py"),
        lib("BaseEventLoop._run_once", "asyncio/base_events.py"),
        lib("BaseEventLoop.run_forever", "asyncio/base_events.py"),
        lib("BaseEventLoop.run_until_complete", "asyncio/base_events.py"),
        lib("Runner.run", "asyncio/runners.py"), lib("run", "asyncio/runners.py")})
    frames.push_back(one);
  frames.insert(frames.end(), launcher.begin(), launcher.end());
  return frames;
}

std::string blamed(std::vector<Frame> frames, const CodeContext& context = {}) {
  JudgedCode judged = judge_code(frames, context);
  if (!judged.culprit) return "nobody";
  return std::string(name_of(judged.rule)) + ": " + frames[*judged.culprit].function;
}

const Frame kModule = frame("<module>", "/srv/app.py");
const Frame kMain = frame("main", "/srv/app.py");

TEST(JudgeCode, BlamesTheInnermostFrameOfTheServicesOwn) {
  EXPECT_EQ(blamed(below_asyncio({lib("recv", "ssl.py"), site("get", "requests/api.py"),
                                  frame("inner", "/srv/app.py"), frame("outer", "/srv/app.py")},
                                 {kMain, kModule})),
            "own: inner");
}

TEST(JudgeCode, NeverBlamesWhatStartedTheLoop) {
  // A library's own task: pymongo's monitor connects.
  auto frames = below_asyncio({lib("create_connection", "socket.py"),
                               site("_connect", "pymongo/pool.py"), site("_run", "pymongo/m.py")},
                              {kMain, kModule});
  EXPECT_EQ(blamed(frames), "application: _connect");
  // A server's own code: aiohttp's page of a directory.
  frames = below_asyncio({lib("iterdir", "pathlib.py"), site("_directory_as_html", "aiohttp/w.py"),
                          site("_handle", "aiohttp/web_app.py")},
                         {kMain, kModule});
  EXPECT_EQ(blamed(frames), "leaf: iterdir");
  EXPECT_EQ(frames.back().function, "<module>");
  EXPECT_EQ(blamed(below_asyncio({}, {kMain, kModule})), "leaf: Handle._run");
}

TEST(JudgeCode, FindsTheApplicationsInstalledPackage) {
  std::vector<Frame> stack = {lib("sleep", "x.py"),
                              site("get", "httpx/_client.py"),
                              site("price", "shop/core.py"),
                              site("serve", "shop/web.py"),
                              site("__call__", "timing_middleware/core.py"),
                              site("run_asgi", "uvicorn/protocols/http.py")};
  // By the command line, by who started the loop, by what the loop called.
  EXPECT_EQ(
      blamed(below_asyncio(stack, {site("main", "uvicorn/main.py")}), {.application = "shop"}),
      "application: price");
  EXPECT_EQ(
      blamed(below_asyncio(stack, {site("main", "shop/cli.py"), site("invoke", "click/core.py"),
                                   frame("<module>", "/v/bin/shop")})),
      "application: price");
  EXPECT_EQ(blamed(below_asyncio(stack, {site("main", "uvicorn/main.py")})),
            "application: __call__");
  // Of a stack without a run method only that much is known.
  EXPECT_EQ(blamed(stack), "package: get");
  stack.push_back(frame("<module>", "/v/bin/uvicorn"));
  EXPECT_EQ(blamed(stack), "package: get");
}

TEST(JudgeCode, KnowsLoopsWithoutARunMethod) {
  // uvloop's has no frame: what started it stands for it.
  std::vector<Frame> frames = {frame("handler", "/srv/app.py"), lib("run", "asyncio/runners.py"),
                               kMain, kModule};
  EXPECT_EQ(blamed(frames), "own: handler");
  frames.erase(frames.begin());
  EXPECT_EQ(blamed(frames), "leaf: run");
  // Started by the program itself: the kernel side says where.
  frames = {site("_run", "pymongo/m.py"), kMain, kModule};
  EXPECT_EQ(blamed(frames, {.outside = 1}), "application: _run");
  frames.erase(frames.begin());
  EXPECT_EQ(blamed(frames, {.outside = 0}), "nobody");
  EXPECT_EQ(blamed(frames), "own: main");  // a thread that runs no loop
}

TEST(JudgeCode, KnowsOtherLoops) {
  EXPECT_EQ(blamed({frame("work", "/srv/app.py"), site("unrolled_run", "trio/_core/_run.py"),
                    site("run", "trio/_core/_run.py"), kModule}),
            "own: work");
  EXPECT_EQ(blamed({site("read", "lib/x.py"), site("runUntilCurrent", "twisted/internet/base.py"),
                    site("mainLoop", "twisted/internet/base.py"), kModule}),
            "application: read");
  // A greenlet's stack ends with what it runs.
  EXPECT_EQ(blamed({lib("recv", "ssl.py"), frame("work", "/srv/app.py")}), "own: work");
  std::vector<RunMethodName> loops = {{.module = "mine.engine", .function = "turn"}};
  EXPECT_EQ(blamed({site("read", "lib/x.py"), frame("turn", "/srv/mine/engine.py"), kModule},
                   {.loops = loops}),
            "application: read");
}

TEST(JudgeCode, GivesGeneratedTextToWhoeverCallsIt) {
  EXPECT_EQ(blamed(below_asyncio({lib("_callmethod", "multiprocessing/managers.py"),
                                  frame("get", "<string>"), frame("look_up", "/srv/app.py")},
                                 {kModule})),
            "own: look_up");
  EXPECT_EQ(blamed(below_asyncio({frame("__create_fn__.<locals>.__init__", "<string>"),
                                  frame("build", "/srv/app.py")},
                                 {kModule})),
            "own: build");
  EXPECT_EQ(blamed(below_asyncio(
                {frame("__init__", "<attrs generated init x>"), site("load", "ledger/core.py")},
                {kModule})),
            "application: load");
  // python -c: all own code is such text.
  const Frame code = frame("<module>", "<string>");
  EXPECT_EQ(blamed(below_asyncio({frame("spin", "<string>"), frame("main", "<string>")}, {code})),
            "own: spin");
  EXPECT_EQ(blamed(below_asyncio({lib("_callmethod", "multiprocessing/managers.py"),
                                  frame("get", "<string>"), frame("look_up", "<string>")},
                                 {code})),
            "own: look_up");
  // A child of multiprocessing is started by such text.
  EXPECT_EQ(blamed({site("dump", "yaml/x.py"), lib("_main", "multiprocessing/spawn.py"), code}),
            "package: dump");
}

TEST(JudgeCode, FollowsTheUsersPatterns) {
  auto pattern = [](const char* text) { return *Pattern::compile(text); };
  auto frames = below_asyncio({site("query", "ledger/db.py"), frame("shared", "/srv/shared/x.py"),
                               frame("handler", "/srv/app.py")},
                              {kModule});
  EXPECT_EQ(blamed(frames), "own: shared");
  CodePatterns global{.own = {pattern("^ledger\\.")}, .library = {pattern("/srv/shared/")}};
  EXPECT_EQ(blamed(frames, {.patterns = {&global}}), "own: query");
  CodePatterns workload{.own = {}, .library = {pattern("^ledger")}};
  EXPECT_EQ(blamed(frames, {.patterns = {&workload, &global}}), "own: handler");
}

TEST(JudgeCode, NeverBlamesAFrameThatCouldNotBeRead) {
  std::vector<Frame> frames = {{.function = kUnreadable}, lib("select", "selectors.py")};
  EXPECT_EQ(blamed(frames), "leaf: select");
  frames.resize(1);
  EXPECT_EQ(blamed(frames), "nobody");
  EXPECT_EQ(blamed({}), "nobody");
}

TEST(FindRoot, IsWhatTheLoopCalledAndNoneOfItsOwnMethods) {
  auto root = [](std::vector<Frame> frames) {
    JudgedCode judged = judge_code(frames);
    const Frame* found = find_root(frames, judged);
    return found ? found->function : "none";
  };
  const Frame handler = frame("handler", "/srv/app.py");
  EXPECT_EQ(root(below_asyncio({frame("fetch", "/srv/app.py"), handler}, {kModule})), "handler");
  EXPECT_EQ(root(below_asyncio(
                {frame("data_received", "/srv/app.py"),
                 lib("_SelectorSocketTransport._read_ready", "asyncio/selector_events.py")},
                {kModule})),
            "data_received");
  EXPECT_EQ(root({handler, lib("run", "asyncio/runners.py")}), "handler");
  EXPECT_EQ(root(below_asyncio({}, {kModule})), "none");
  EXPECT_EQ(root({handler}), "none");
  EXPECT_EQ(root(below_asyncio({{.function = kUnreadable}}, {kModule})), "none");
}

}  // namespace
}  // namespace loopsight
