#include "daemon/python/code_origin.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

TEST(ModuleName, FollowsFromThePath) {
  EXPECT_EQ(module_name("/srv/app.py"), "app");
  EXPECT_EQ(module_name("/srv/shop/__init__.py"), "shop");
  EXPECT_EQ(module_name("app.py"), "app");
  EXPECT_EQ(module_name("/usr/lib/python3.11/asyncio/base_events.py"), "asyncio.base_events");
  EXPECT_EQ(module_name("/usr/lib/python3.11/asyncio/__init__.py"), "asyncio");
  EXPECT_EQ(module_name("/v/lib/python3.12/site-packages/aiohttp/web.py"), "aiohttp.web");
  EXPECT_EQ(module_name("/usr/lib/python3/dist-packages/aiohttp/web.py"), "aiohttp.web");
  EXPECT_EQ(module_name("<frozen importlib._bootstrap>"), "importlib._bootstrap");
  EXPECT_EQ(module_name("/srv/shop.pyz/shop/db.py"), "shop.db");
  EXPECT_EQ(module_name("/opt/x/python311.zip/asyncio/events.py"), "asyncio.events");
  EXPECT_EQ(module_name("asyncio/events.py"), "asyncio.events");  // in a frozen application
  EXPECT_EQ(module_name("<string>"), "<string>");
  EXPECT_EQ(module_name(""), "");
}

void expect(Origin origin, std::initializer_list<const char*> files) {
  for (const char* file : files) EXPECT_EQ(origin_of(file), origin) << file;
}

TEST(OriginOf, KnowsTheStandardLibraryInEachShape) {
  expect(Origin::kLibrary,
         {"/usr/lib/python3.11/asyncio/events.py", "/opt/py/lib/python3.13t/ssl.py",
          "/usr/lib64/python3.9/socket.py", "<frozen runpy>", "<frozen importlib._bootstrap>",
          "__init__",  // the interpreter's own frame
          // Embedded, frozen by PyInstaller, unpacked, built in place.
          "/opt/app/python311.zip/selectors.py", "/opt/x/python311.zip/json/encoder.py",
          "asyncio/base_events.py", "selectors.py", "/tmp/_MEIa1/base_library.zip/codecs.py",
          "/tmp/_MEIa1/logging/__init__.py", "/src/cpython/Lib/json/decoder.py",
          "/nix/store/abc-python3-3.11.6/lib/python3.11/asyncio/runners.py",
          "/b/app.runfiles/python_3_11_x86_64/lib/python3.11/asyncio/runners.py",
          "/opt/conda/lib/python3.11/subprocess.py", "/var/lang/lib/python3.12/ssl.py"});
}

TEST(OriginOf, KnowsInstalledPackagesInEachShape) {
  expect(
      Origin::kPackage,
      {"/v/lib/python3.12/site-packages/x/y.py", "/usr/lib/python3/dist-packages/sqlalchemy/a.py",
       "/opt/conda/lib/python3.11/site-packages/requests/api.py",
       "/nix/store/abc-python3.11-httpx-0.2/lib/python3.11/site-packages/httpx/_client.py",
       "/b/app.runfiles/pip_httpx/site-packages/httpx/_client.py",
       "/b/app.runfiles/pypi__httpx/httpx/_client.py",
       "/root/.pex/installed_wheels/0/ab/httpx-0.2-py3-none-any.whl/httpx/_client.py",
       "/srv/eggs/httpx-0.2-py3.11.egg/httpx/_client.py",
       "/srv/app/__pypackages__/3.11/lib/httpx/_client.py", "/var/task/requests/api.py",
       "/srv/app.pyz/requests/api.py", "requests/api.py", "/srv/app/_vendor/requests/api.py",
       "/tmp/_MEIa1/requests/api.py"});
}

TEST(OriginOf, KnowsFrameworksWhereverTheyLie) {
  expect(Origin::kPlumbing,
         {"/srv/app/_vendor/starlette/routing.py", "/srv/bundle.pex/uvicorn/server.py",
          "/home/me/starlette/starlette/routing.py", "/work/anyio/src/anyio/_core/_tasks.py",
          "/v/lib/python3.12/site-packages/aiohttp/web.py", "uvicorn/server.py",
          "/v/lib/python3.12/site-packages/click/core.py",
          "/v/lib/python3.12/site-packages/sentry_sdk/hub.py"});
}

TEST(OriginOf, KnowsTheUsersOwn) {
  expect(Origin::kOwn,
         {"/srv/app.py", "/home/me/lib/tool.py", "app.py", "shopapp.py", "src/shop/db.py",
          "/srv/lib/python3-project/app.py", "/srv/python3.11/app.py",
          // A project that is merely called so is the user's own.
          "/srv/celery/tasks.py", "/home/me/websockets/app.py", "/srv/selectors.py",
          "/srv/src/stripe/client.py", "/srv/vendor/views.py",
          // In an archive, a bundle, a frozen application, a notebook; a script of an old version.
          "/opt/app.zip/app.py", "/srv/app.pyz/shop/db.py", "/var/task/app.py",
          "/tmp/_MEIa1/shop.py", "/tmp/ipykernel_7/123.py", "<ipython-input-3>", "<stdin>",
          "/b/app.runfiles/main/shop/db.py", "test.py"});
}

TEST(OriginOf, TellsTextThatWasCompiledInTheProgram) {
  expect(Origin::kGenerated,
         {"<string>", "<attrs generated init shop.Order>", "<decorator-gen-12>", "<makefun-gen-0>",
          "<boltons.funcutils.FunctionBuilder-3>", "<__array_function__ internals>"});
}

TEST(TopPackage, IsTheFirstName) {
  EXPECT_EQ(top_package("shop.db.orders"), "shop");
  EXPECT_EQ(top_package("shop"), "shop");
}

}  // namespace
}  // namespace loopsight
