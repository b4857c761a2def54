#include "daemon/python/program_name.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "daemon/python/argument_shapes.h"
#include "daemon/python/program_place.h"

namespace loopsight {
namespace {

ProgramLook look(std::initializer_list<std::string> arguments, const std::string& cwd = "") {
  ProgramLook look{.cmdline = "", .exe = "/usr/bin/python3.11", .cwd = cwd};
  for (const std::string& one : arguments) look.cmdline += one + '\0';
  return look;
}

std::string name(std::initializer_list<std::string> arguments, const std::string& cwd = "") {
  return name_program(look(arguments, cwd)).text();
}

ProgramName::Kind kind(std::initializer_list<std::string> arguments) {
  return name_program(look(arguments)).kind;
}

TEST(ProgramName, IsTheScriptOrModule) {
  EXPECT_EQ(name({"python3", "shop.py"}), "shop.py");
  EXPECT_EQ(name({"/usr/bin/python3.11", "-u", "/srv/shop/poller.py", "--port", "80"}),
            "poller.py");
  EXPECT_EQ(name({"python3", "-m", "shop.web"}), "shop.web");
  EXPECT_EQ(name({"python3", "-m", "shop.__main__"}), "shop");
  EXPECT_EQ(name({"python3", "-X", "dev", "-W", "error", "-O", "x.py"}), "x.py");
  EXPECT_EQ(name({"/srv/shop/venv/bin/python", "/srv/shop/venv/bin/shop-api", "-w"}), "shop-api");
  EXPECT_EQ(name({"/opt/tool/embedder", "x"}), "embedder");
  EXPECT_EQ(name({"/lib64/ld-linux-x86-64.so.2", "--library-path", "/x/lib", "/x/bin/python3.14",
                  "-u", "shop.py"}),
            "shop.py");
  EXPECT_EQ(name({"shop-worker", "/srv/shop/poller.py"}), "poller.py");  // exec -a
}

TEST(ProgramName, SaysWhereAProgramLiesThatIsCalledLikeManyOthers) {
  EXPECT_EQ(name({"python3", "/srv/shop/main.py"}), "shop/main.py");
  EXPECT_EQ(name({"python3", "main.py"}, "/srv/billing"), "billing/main.py");
  EXPECT_EQ(name({"python3", "src/main.py"}, "/srv/billing"), "billing/src/main.py");
  EXPECT_EQ(name({"python3", "../main.py"}, "/srv/billing/web"), "billing/main.py");
  EXPECT_EQ(name({"python3", "manage.py", "runserver", "80"}, "/srv/shop"),
            "shop/manage.py runserver");
  EXPECT_EQ(name({"python3", "/srv/shop/__main__.py"}), "shop");
  EXPECT_EQ(name({"python3", "."}, "/srv/shop"), "shop");
  EXPECT_EQ(name({"python3", "-m", "app"}, "/srv/shop"), "shop/app");
  EXPECT_EQ(name({"python3", "app.pyz"}, "/opt/shop/current"), "shop/app.pyz");
  EXPECT_EQ(name({"python3", "main.py"}), "main.py");  // nobody knows where
}

TEST(ProgramName, IsTheSameForEveryReleaseAndStart) {
  for (const char* folder : {"/srv/shop", "/srv/shop/current", "/srv/shop/releases/20261129T0657",
                             "/opt/shop/1.4.2", "/home/shop/.venv/bin", "/tmp/tmpab12_9xz/shop",
                             "/srv/shop/9f8e7d6c5b4a", "/usr/local/shop", "/tmp/_MEIx2f9qL/shop"})
    EXPECT_EQ(name({"python3", "main.py"}, folder), "shop/main.py") << folder;
}

TEST(ProgramName, IsTheApplicationOfAServer) {
  EXPECT_EQ(name({"python3", "/v/bin/uvicorn", "billing:app"}), "uvicorn billing:app");
  EXPECT_EQ(name({"python3", "/v/bin/uvicorn", "--port", "80", "main:app"}, "/srv/shop"),
            "uvicorn shop/main:app");
  EXPECT_EQ(name({"python3", "-Im", "uvicorn", "--reload", "shop.web:app"}),
            "uvicorn shop.web:app");
  EXPECT_EQ(name({"python3", "-m", "gunicorn", "-w4", "-k", "gevent", "shop.wsgi", "-b", ":80"}),
            "gunicorn shop.wsgi");
  EXPECT_EQ(name({"python3", "/v/bin/gunicorn", "shop:make(token='s3cret')"}),
            "gunicorn shop:make()");
  EXPECT_EQ(name({"python3", "/v/bin/gunicorn", "-n", "shop-web", "app:app"}), "gunicorn shop-web");
  EXPECT_EQ(name({"python3", "/v/bin/hypercorn", "-b", "x:1", "shop:app"}), "hypercorn shop:app");
  EXPECT_EQ(name({"python3", "/v/bin/daphne", "-p", "80", "project.asgi:application"}),
            "daphne project.asgi:application");
  EXPECT_EQ(name({"python3", "/v/bin/granian", "--interface", "asgi", "shop:app"}),
            "granian shop:app");
  EXPECT_EQ(name({"python3", "/v/bin/sanic", "x.app", "--workers", "2"}), "sanic x.app");
  EXPECT_EQ(name({"python3", "/v/bin/litestar", "--app", "x:app", "run"}), "litestar x:app");
  EXPECT_EQ(name({"python3", "/v/bin/streamlit", "run", "/srv/prices/x.py"}), "streamlit x.py");
  EXPECT_EQ(name({"python3", "/v/bin/celery", "-A", "shop", "worker", "-l", "INFO"}),
            "celery shop worker");
  EXPECT_EQ(name({"python3", "/v/bin/celery", "--app=shop", "beat"}), "celery shop beat");
  EXPECT_EQ(name({"python3", "-m", "celery", "-Ashop", "worker"}), "celery shop worker");
  EXPECT_EQ(name({"python3", "/v/bin/flask", "--app", "shop", "run"}), "flask shop");
  EXPECT_EQ(name({"python3", "/v/bin/dask", "worker", "tcp://10.0.0.1:8786"}), "dask worker");
  EXPECT_EQ(name({"python3", "-m", "robyn", "/srv/shop/x.py", "--fast"}), "robyn x.py");
  EXPECT_EQ(name({"python3", "/v/bin/fastmcp", "run", "prices.py:mcp"}), "fastmcp prices.py:mcp");
}

TEST(ProgramName, OfAServerWithoutAnApplicationIsWhereItRuns) {
  EXPECT_EQ(name({"python3", "/v/bin/flask", "run"}, "/srv/shop"), "shop/flask");
  EXPECT_EQ(name({"python3", "/v/bin/gunicorn", "-c", "conf.py"}, "/srv/shop"), "shop/gunicorn");
  ProgramLook flask = look({"python3", "/v/bin/flask", "run"}, "/srv/shop");
  flask.variable = [](std::string_view name) {
    return name == "FLASK_APP" ? std::string("prices:make('s3cret')") : std::string();
  };
  EXPECT_EQ(name_program(flask).text(), "flask prices:make()");
}

TEST(ProgramName, OfALauncherIsWhatItRuns) {
  EXPECT_EQ(name({"python3", "/v/bin/coverage", "run", "--branch", "shop.py"}), "shop.py");
  EXPECT_EQ(name({"python3", "-m", "coverage", "run", "-m", "shop.web"}), "shop.web");
  EXPECT_EQ(name({"python3", "-m", "debugpy", "--listen", "5678", "-m", "uvicorn", "shop:app"}),
            "uvicorn shop:app");
  EXPECT_EQ(name({"python3", "-m", "pudb", "main.py"}, "/srv/shop"), "shop/main.py");
  EXPECT_EQ(name({"python3", "-m", "pdb", "-c", "s3cret", "shop.py"}), "shop.py");
  EXPECT_EQ(name({"python3", "-m", "cProfile", "-o", "out", "shop.py"}), "shop.py");
  EXPECT_EQ(name({"python3", "/v/bin/ddtrace-run", "gunicorn", "shop:app"}), "gunicorn shop:app");
  EXPECT_EQ(name({"python3", "/v/bin/newrelic-admin", "run-program", "python", "-u", "shop.py"}),
            "shop.py");
  EXPECT_EQ(name({"python3", "/v/bin/opentelemetry-instrument", "--traces_exporter", "otlp",
                  "uvicorn", "shop:app"}),
            "uvicorn shop:app");
}

TEST(ProgramName, IsNeverAnotherArgument) {
  for (const std::string& text :
       {name({"python3", "-c", "login('s3cret')"}), name({"python3", "-ucprint('s3cret')"}),
        name({"python3", "-um", "uvicorn", "--password", "s3cret"}),
        name({"python3", "-Imuvicorn", "--header", "s3cret:x"}),
        name({"python3", "-bX", "s3cret", "-Wignore", "shop.py"}),
        name({"/opt/tool/embedder", "-m", "s3cret"}), name({"/opt/tool/embedder", "-ms3cret"}),
        name({"python3", "/v/bin/uvicorn", "--new-option", "s3cret", "shop:app"}),
        name({"python3", "/v/bin/celery", "-b", "s3cret", "worker"}),
        name({"python3", "/v/bin/celery", "--broker=s3cret", "-A", "shop", "worker"}),
        name({"python3", "manage.py", "--settings", "s3cret", "run"}),
        name({"python3", "/v/bin/coverage", "run", "--source", "s3cret", "shop.py"}),
        name({"python3", "/v/bin/dask", "worker", "tcp://user:s3cret@host:1"}),
        name({"python3", "/v/bin/gunicorn", "postgres://user:s3cret@host/db"}),
        name({"celery worker -c 4 --password=s3cret"})})
    EXPECT_EQ(text.find("s3cret"), std::string::npos) << text;
}

TEST(ProgramName, TakesTheWordOfATitle) {
  EXPECT_EQ(name({"gunicorn: worker [shop:app]"}), "gunicorn shop:app");
  EXPECT_EQ(name({"gunicorn: master [main:app]", "", ""}, "/srv/shop"), "gunicorn shop/main:app");
  EXPECT_EQ(name({"granian asgi 127.0.0.1:80 shop:app worker-1"}), "granian shop:app");
  EXPECT_EQ(
      name({"[celeryd: celery@vm:MainProcess] -active- (-A tasks.shop worker -c 2)"}, "/srv/x"),
      "celery x/tasks.shop worker");
  EXPECT_EQ(name({"dask worker [tcp://u:s3cret@h:1]"}), "dask worker");
  EXPECT_EQ(name({"airflow scheduler -- DagFileProcessorManager"}), "airflow scheduler");
  EXPECT_EQ(name({"celery worker -c 4 --password=x"}), "celery");
  EXPECT_EQ(name({"shop: worker 3"}), "shop");
  EXPECT_EQ(name({"rq:worker:7f3a9c: idle"}), "rq");
  EXPECT_EQ(name({"python3 shop.py --port 80"}), "shop.py");
}

TEST(ProgramName, IsThatOfTheParentForItsChildren) {
  EXPECT_EQ(kind({"python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(7)",
                  "--multiprocessing-fork"}),
            ProgramName::Kind::kChild);
  EXPECT_EQ(kind({"python3", "-B", "-c", "from multiprocessing.forkserver import main; main(1)"}),
            ProgramName::Kind::kChild);
  EXPECT_EQ(kind({"python3", "-cfrom billiard.spawn import spawn_main; spawn_main(7)"}),
            ProgramName::Kind::kChild);
  EXPECT_EQ(
      kind({"python3", "-m", "joblib.externals.loky.backend.popen_loky_posix", "--pipe", "3"}),
      ProgramName::Kind::kChild);
  EXPECT_EQ(kind({"/opt/shop/shop", "--multiprocessing-fork", "tracker_fd=5"}),
            ProgramName::Kind::kChild);
  EXPECT_EQ(kind({"python3", "-c", "import multiprocessing; run()"}), ProgramName::Kind::kNameless);
}

TEST(ProgramName, OfCodeIsWhereItRuns) {
  EXPECT_EQ(name({"python3", "-c", "serve()"}, "/srv/shop"), "shop/<string>");
  EXPECT_EQ(name({"python3"}, "/srv/shop"), "shop/<stdin>");
  EXPECT_EQ(name({"/srv/shop/venv/bin/python", "-c", "serve()"}, "/"), "shop/<string>");
  EXPECT_EQ(name({"python3", "-"}), "<stdin>");
  EXPECT_EQ(name({"-c"}), "<string>");
  EXPECT_EQ(name({"unknown"}), "<string>");
  EXPECT_EQ(name({}), "<string>");
  ProgramLook piped = look({"python3", "-"}, "/");
  piped.input = "/srv/shop/poller.py";
  EXPECT_EQ(name_program(piped).text(), "poller.py");
  piped.input = "pipe:[1]";
  EXPECT_EQ(name_program(piped).text(), "<stdin>");
}

TEST(ProgramName, OfWhatPexUnpackedIsThePexFile) {
  ProgramLook pex =
      look({"/usr/bin/python3.11", "/root/.cache/pex/unzipped_pexes/4/ae201e3"}, "/x");
  EXPECT_EQ(name_program(pex).text(), "x/<string>");  // nothing says more
  pex.variable = [](std::string_view name) {
    return name == "PEX" ? std::string("/srv/shop/poller.pex") : std::string();
  };
  EXPECT_EQ(name_program(pex).text(), "poller.pex");
}

TEST(ProgramName, ToldApartByFoldersAbove) {
  ProgramName name = name_program(look({"python3", "/srv/alice/shop/main.py"}));
  EXPECT_EQ(name.text(), "shop/main.py");
  EXPECT_EQ(name.text(1), "alice/shop/main.py");
  name = name_program(look({"python3", "/srv/alice/shop/poller.py"}));
  EXPECT_EQ(name.text(), "poller.py");
  EXPECT_EQ(name.text(1), "shop/poller.py");
}

TEST(ApplicationIn, TakesApplicationsAlone) {
  for (const char* good : {"main:app", "shop.web", "shop", "src/main.py", "main.py:mcp", "a:b.c"})
    EXPECT_EQ(application_in(good), good);
  for (const char* bad : {"", "http://u:p@h/", "10.0.0.1:80", "localhost:80", "a b", "x:", ":x",
                          "a..b", "tcp://h:1", "-x", "p@ss:word!"})
    EXPECT_EQ(application_in(bad), "") << bad;
}

TEST(ProgramPlace, LeavesOutWhatChangesAndWhatSaysNothing) {
  EXPECT_EQ(lasting_place("/srv/shop/releases/20261101/.venv/bin"), "shop");
  EXPECT_EQ(lasting_place("/home/alice/shop/src"), "alice/shop/src");
  EXPECT_EQ(lasting_place("/"), "");
  EXPECT_EQ(end_of_place("alice/shop/src"), "shop/src");
  EXPECT_EQ(end_of_place("alice/shop/src", 1), "alice/shop/src");
  EXPECT_EQ(end_of_place("app"), "app");
  EXPECT_EQ(absolute_path("/srv/shop", "./../x/./y.py"), "/srv/x/y.py");
  EXPECT_EQ(absolute_path("", "../.."), "/");
}

}  // namespace
}  // namespace loopsight
