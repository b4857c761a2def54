#include "daemon/python/plumbing.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

Frame frame(const std::string& function, const std::string& file) {
  return {.function = function, .module = module_name(file), .file = file};
}

TEST(ModuleName, ComesFromThePath) {
  EXPECT_EQ(module_name("/srv/app.py"), "app");
  EXPECT_EQ(module_name("/srv/shop/__init__.py"), "shop");
  EXPECT_EQ(module_name("app.py"), "app");
  EXPECT_EQ(module_name("/usr/lib/python3.11/asyncio/base_events.py"), "asyncio.base_events");
  EXPECT_EQ(module_name("/usr/lib/python3.11/asyncio/__init__.py"), "asyncio");
  EXPECT_EQ(module_name("/v/lib/python3.12/site-packages/aiohttp/web.py"), "aiohttp.web");
  EXPECT_EQ(module_name("/usr/lib/python3/dist-packages/aiohttp/web.py"), "aiohttp.web");
  EXPECT_EQ(module_name("<frozen importlib._bootstrap>"), "importlib._bootstrap");
  EXPECT_EQ(module_name("<string>"), "<string>");
  EXPECT_EQ(module_name(""), "");
}

TEST(IsPlumbing, KnowsTheStandardLibraryAndPackages) {
  for (const char* file :
       {"/usr/lib/python3.11/asyncio/events.py", "/opt/py/lib/python3.13t/ssl.py",
        "/usr/lib64/python3.9/socket.py", "/v/lib/python3.12/site-packages/x/y.py",
        "/usr/lib/python3/dist-packages/aiohttp/web.py", "<frozen runpy>"})
    EXPECT_TRUE(is_plumbing(frame("f", file))) << file;
  for (const char* file : {"/srv/app.py", "<string>", "/home/me/lib/tool.py", "app.py",
                           "/srv/lib/python3-project/app.py", "/srv/python3.11/app.py"})
    EXPECT_FALSE(is_plumbing(frame("f", file))) << file;
}

TEST(IsPlumbing, KnowsFrameworksWhereverTheyLie) {
  for (const char* file :
       {"/srv/app/_vendor/starlette/routing.py", "/srv/bundle.pex/uvicorn/server.py",
        "/home/me/starlette/starlette/routing.py", "/work/anyio/src/anyio/_core/_tasks.py",
        "/opt/app/python311.zip/selectors.py", "/opt/x/python311.zip/threading.py"})
    EXPECT_TRUE(is_plumbing(frame("f", file))) << file;
  // A project that is merely called so is the user's own.
  for (const char* file : {"/srv/celery/tasks.py", "/home/me/websockets/app.py",
                           "/opt/app.zip/app.py", "/srv/selectors.py"})
    EXPECT_FALSE(is_plumbing(frame("f", file))) << file;
}

TEST(FindCulprit, IsTheInnermostFrameOfTheUsersOwn) {
  std::vector<Frame> frames = {frame("select", "/usr/lib/python3.11/selectors.py"),
                               frame("inner", "/srv/app.py"), frame("outer", "/srv/app.py")};
  EXPECT_EQ(find_culprit(frames)->function, "inner");
  EXPECT_EQ(find_culprit({}), nullptr);
}

TEST(FindCulprit, IsNeverAFrameThatCouldNotBeRead) {
  std::vector<Frame> frames = {{.function = kUnreadable},
                               frame("select", "/usr/lib/python3.11/selectors.py")};
  EXPECT_EQ(find_culprit(frames)->function, "select");
  frames.resize(1);
  EXPECT_EQ(find_culprit(frames), nullptr);
}

TEST(FindRoot, IsWhatTheLoopCalled) {
  const Frame user = frame("fetch", "/srv/app.py");
  const Frame root = frame("handler", "/srv/app.py");
  const Frame handle = frame("Handle._run", "/usr/lib/python3.11/asyncio/events.py");
  const Frame once = frame("BaseEventLoop._run_once", "/usr/lib/python3.11/asyncio/base_events.py");
  const Frame run = frame("run", "/usr/lib/python3.11/asyncio/runners.py");
  EXPECT_EQ(find_root({user, root, handle, once, run})->function, "handler");
  EXPECT_EQ(find_root({user, root, run})->function, "handler");  // uvloop has no frames of its own
  EXPECT_EQ(find_root({handle, once}), nullptr);                 // nothing is run
  EXPECT_EQ(find_root({user, root}), nullptr);
  EXPECT_EQ(find_root({{.function = kUnreadable}, handle}), nullptr);
}

}  // namespace
}  // namespace loopsight
