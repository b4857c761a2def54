#include "daemon/python/application.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace loopsight {
namespace {

TEST(ApplicationOf, IsWhatTheCommandLineNames) {
  struct Case {
    std::vector<std::string_view> arguments;
    const char* application;
  };
  for (const Case& one : std::initializer_list<Case>{
           {{"python3", "-m", "shop.web", "--port", "80"}, "shop"},
           {{"python3", "-mshop"}, "shop"},
           {{"/v/bin/python", "/v/bin/shop-server"}, "shop_server"},
           {{"/v/bin/python", "/v/bin/uvicorn", "--port", "80", "shop.web:app"}, "shop"},
           {{"/v/bin/python", "-m", "uvicorn", "shop:create()", "--factory"}, "shop"},
           {{"/v/bin/python", "/v/bin/gunicorn", "-b", "localhost:80", "-w", "4", "shop.wsgi"},
            "shop"},
           {{"/v/bin/python", "/v/bin/celery", "-A", "shop", "worker"}, "shop"},
           {{"/v/bin/python", "/v/bin/flask", "--app=shop.web", "run"}, "shop"},
           {{"/v/bin/python", "/v/bin/daphne", "-p", "80", "shop.asgi:application"}, "shop"},
           {{"gunicorn: worker [shop.wsgi:app]"}, "shop"},
           {{"[celeryd: c@h:MainProcess] -active- (-A shop worker)"}, "shop"},
           // The user's own file is no installed package.
           {{"python3", "/srv/app.py"}, ""},
           {{"python3", "-c", "import shop"}, ""},
           {{"python3", "-u", "-W", "error", "-X", "dev", "/srv/app.py"}, ""},
           {{"python3"}, ""},
           {{"/opt/embedder", "shop"}, ""},
           {{}, ""}})
    EXPECT_EQ(application_of(one.arguments), one.application)
        << (one.arguments.empty() ? "" : one.arguments.back());
}

TEST(FindApplication, IsTheParentsForAChildOfMultiprocessing) {
  namespace fs = std::filesystem;
  fs::path root = fs::path(testing::TempDir()) / "application_test";
  auto add = [&](int pid, int parent, std::string line) {
    fs::create_directories(root / std::to_string(pid));
    std::replace(line.begin(), line.end(), '|', '\0');
    std::ofstream(root / std::to_string(pid) / "cmdline") << line;
    std::ofstream(root / std::to_string(pid) / "stat") << pid << " (a) b) S " << parent << " 1 1 0";
  };
  add(10, 1, "/v/bin/python|/v/bin/uvicorn|shop:app|--workers|2|");
  add(11, 10, "/v/bin/python|-c|from multiprocessing.spawn import spawn_main; spawn_main()|");
  add(12, 11, "/v/bin/python|-c|from multiprocessing.forkserver import main; main()|");
  add(13, 10, "/v/bin/python|-c|import billing|");
  EXPECT_EQ(find_application(root, 10), "shop");
  EXPECT_EQ(find_application(root, 11), "shop");
  EXPECT_EQ(find_application(root, 12), "shop");
  EXPECT_EQ(find_application(root, 13), "");
  EXPECT_EQ(find_application(root, 99), "");
  fs::remove_all(root);
}

}  // namespace
}  // namespace loopsight
