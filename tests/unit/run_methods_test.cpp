#include "daemon/python/run_methods.h"

#include <gtest/gtest.h>

#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

const std::string kLibrary = "/usr/lib/python3.11";
const std::string kPackages = "/v/lib/python3.12/site-packages";

Frame frame(const std::string& function, const std::string& file) {
  return {.function = function, .module = module_name(file), .file = file, .line = 1};
}
const Frame kSelect = frame("EpollSelector.select", kLibrary + "/selectors.py");
const Frame kOnce = frame("BaseEventLoop._run_once", kLibrary + "/asyncio/base_events.py");
const Frame kForever = frame("BaseEventLoop.run_forever", kLibrary + "/asyncio/base_events.py");
const Frame kHandle = frame("Handle._run", kLibrary + "/asyncio/events.py");
const Frame kUser = frame("fetch", "/srv/app.py");

LoopKind kind_of(const std::vector<Frame>& frames) {
  auto loop = find_running_loop(frames);
  return loop ? loop->kind : LoopKind::kUnknown;
}

TEST(FindRunningLoop, GoesByTheRunMethods) {
  EXPECT_EQ(kind_of({kSelect, kOnce, kForever}), LoopKind::kAsyncio);
  EXPECT_EQ(kind_of({kSelect, kOnce, kForever,
                     frame("IOLoop.run_sync", kPackages + "/tornado/ioloop.py")}),
            LoopKind::kTornado);
  EXPECT_EQ(kind_of({frame("get_events", kPackages + "/trio/_core/_io_epoll.py"),
                     frame("run", kPackages + "/trio/_core/_run.py")}),
            LoopKind::kTrio);
  EXPECT_EQ(kind_of({frame("doPoll", kPackages + "/twisted/internet/epollreactor.py"),
                     frame("mainLoop", kPackages + "/twisted/internet/base.py")}),
            LoopKind::kTwisted);
  EXPECT_EQ(kind_of({frame("poll", kPackages + "/kombu/utils/eventio.py"),
                     frame("Hub.create_loop", kPackages + "/kombu/asynchronous/hub.py"),
                     frame("asynloop", kPackages + "/celery/worker/loops.py")}),
            LoopKind::kKombu);
  EXPECT_EQ(kind_of({frame("Hub.do_poll", kPackages + "/eventlet/hubs/epolls.py"),
                     frame("BaseHub.wait", kPackages + "/eventlet/hubs/poll.py"),
                     frame("BaseHub.run", kPackages + "/eventlet/hubs/hub.py")}),
            LoopKind::kEventlet);
}

TEST(FindRunningLoop, TakesNothingElseForALoop) {
  EXPECT_FALSE(find_running_loop({}));
  EXPECT_FALSE(find_running_loop(
      {frame("run", "/srv/app.py"), frame("serve_forever", kLibrary + "/socketserver.py")}));
  EXPECT_FALSE(find_running_loop({frame("time", kLibrary + "/asyncio/base_events.py")}));
  // A name alone says nothing.
  EXPECT_FALSE(find_running_loop({kSelect, frame("Jobs._run_once", "/srv/jobs.py"), kUser}));
}

TEST(FindRunningLoop, TellsACallbackThatPolls) {
  EXPECT_TRUE(find_running_loop({kSelect, kOnce, kForever})->polls);
  EXPECT_TRUE(
      find_running_loop({frame("traced_select", "/srv/tracer.py"), kSelect, kOnce, kForever})
          ->polls);
  EXPECT_FALSE(find_running_loop({kSelect, kUser, kHandle, kOnce, kForever})->polls);
  EXPECT_FALSE(
      find_running_loop({frame("dataReceived", "/srv/app.py"),
                         frame("_doReadOrWrite", kPackages + "/twisted/internet/epollreactor.py"),
                         frame("doPoll", kPackages + "/twisted/internet/epollreactor.py"),
                         frame("mainLoop", kPackages + "/twisted/internet/base.py")})
          ->polls);
  // A loop inside a callback of another one.
  auto inner = find_running_loop({kSelect, kOnce, kForever, kUser, kHandle, kOnce, kForever});
  EXPECT_TRUE(inner->polls);
  EXPECT_EQ(inner->method, 1U);
}

TEST(FindRunningLoop, NamesTheFrameThatStaysWhileTheLoopRuns) {
  EXPECT_EQ(find_running_loop({kSelect, kOnce, kForever})->outer, 2U);
  EXPECT_EQ(find_running_loop({kSelect, kOnce, frame("traced", "/srv/t.py"), kForever})->outer, 3U);
  EXPECT_EQ(find_running_loop({kSelect, kOnce})->outer, 1U);
}

TEST(FindRunningLoop, KnowsReplacementsAndSubclasses) {
  const std::string nest = kPackages + "/nest_asyncio.py";
  EXPECT_EQ(kind_of({kSelect, frame("_patch_loop.<locals>._run_once", nest),
                     frame("_patch_loop.<locals>.run_forever", nest)}),
            LoopKind::kAsyncio);
  EXPECT_EQ(kind_of({kSelect, kOnce, frame("Mine._run_once", "/srv/mine.py"), kForever}),
            LoopKind::kAsyncio);
}

TEST(FindRunningLoop, TakesWhatTheConfigurationNames) {
  std::vector<RunMethodName> own = {{.module = "mylib.engine", .function = "Engine.turn"}};
  std::vector<Frame> frames = {frame("Engine.wait", "/srv/mylib/engine.py"),
                               frame("Engine.turn", "/srv/mylib/engine.py")};
  EXPECT_FALSE(find_running_loop(frames));
  auto loop = find_running_loop(frames, own);
  ASSERT_TRUE(loop);
  EXPECT_EQ(loop->kind, LoopKind::kConfigured);
  EXPECT_TRUE(loop->polls);
  EXPECT_FALSE(find_running_loop({frame("Other.turn", "/srv/mylib/engine.py")}, own));
}

TEST(ParseRunMethod, WantsAModuleAndAName) {
  auto method = parse_run_method("mylib.engine:Engine.turn");
  ASSERT_TRUE(method);
  EXPECT_EQ(method->module, "mylib.engine");
  EXPECT_EQ(method->function, "Engine.turn");
  for (const char* text : {"", ":", "a:", ":b", "a b:c", "a/b:c", "a:b:c", ".a:b", "a..b:c"})
    EXPECT_FALSE(parse_run_method(text)) << text;
}

TEST(IsOfModule, GoesByTheEndOfThePath) {
  for (const char* file :
       {"/usr/lib/python3.11/asyncio/events.py", "asyncio/events.py", "<frozen asyncio.events>",
        "/opt/python311.zip/asyncio/events.pyc", "/x/asyncio/events/__init__.py"})
    EXPECT_TRUE(is_of_module(file, "asyncio.events")) << file;
  for (const char* file : {"/srv/myasyncio/events.py", "/srv/events.py", "events.py", "",
                           "<frozen asyncio>", "asyncio/events"})
    EXPECT_FALSE(is_of_module(file, "asyncio.events")) << file;
}

}  // namespace
}  // namespace loopsight
