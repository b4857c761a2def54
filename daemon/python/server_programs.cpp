#include "daemon/python/server_programs.h"

#include <algorithm>
#include <array>

namespace loopsight {
namespace {

constexpr std::string_view kGunicornFlags =
    "--reload --check-config --print-config --preload --reuse-port --daemon -D --capture-output "
    "--enable-stdio-inheritance -R --initgroups --spew --log-syslog --do-handshake-on-connect";

constexpr std::array kPrograms = {
    // Servers of ASGI, RSGI and WSGI applications.
    ServerProgram{.names = "uvicorn",
                  .arguments = "APP",
                  .flags = "--reload --use-colors --access-log --proxy-headers --server-header "
                           "--date-header --factory --reset-contextvars"},
    ServerProgram{.names = "gunicorn gunicornc",
                  .arguments = "APP",
                  .options = "-n --name",
                  .flags = kGunicornFlags,
                  .title = "gunicorn: ",
                  .title_form = TitleForm::kInBrackets},
    ServerProgram{
        .names = "hypercorn", .arguments = "APP", .flags = "-D --daemon --debug --reload"},
    ServerProgram{.names = "daphne", .arguments = "APP", .flags = "--proxy-headers"},
    ServerProgram{.names = "granian",
                  .arguments = "APP",
                  .flags = "--ws --http1-keep-alive --http1-pipeline-flush --http2-adaptive-window "
                           "--log --access-log --ssl-client-verify --respawn-failed-workers "
                           "--factory --metrics --reload --reload-ignore-worker-failure",
                  .title = "granian ",
                  .title_form = TitleForm::kLastWord},
    ServerProgram{.names = "sanic",
                  .arguments = "APP",
                  .flags =
                      "--factory -s --simple --repl -1 -3 --tls-strict-host --debug -r --reload "
                      "--auto-reload -d --dev --auto-tls --fast --single-process "
                      "--access-logs --coffee --motd -v --verbosity --noisy-exceptions -D "
                      "--daemon"},
    ServerProgram{.names = "robyn",
                  .arguments = "APP",
                  .flags = "--dev --fast --disable-openapi --open-browser"},
    ServerProgram{.names = "waitress-serve waitress",
                  .arguments = "APP",
                  .options = "--app",
                  .flags = "--call --expose-tracebacks --ipv4 --ipv6"},
    ServerProgram{.names = "uwsgi pyuwsgi", .arguments = "", .options = "--module -w --wsgi-file"},
    ServerProgram{.names = "nameko", .arguments = "COMMAND APP"},
    ServerProgram{.names = "adev", .arguments = "COMMAND APP"},
    ServerProgram{.names = "aiohttp.web", .arguments = "APP"},
    ServerProgram{.names = "twistd",
                  .arguments = "COMMAND",
                  .options = "-y --python -f --file",
                  .flags = "-n --nodaemon -o --no_save -b --debug -e --encrypted --euid -q"},

    // Frameworks with a command line of their own.
    ServerProgram{.names = "flask",
                  .arguments = "COMMAND",
                  .options = "--app -A",
                  .flags = "--debug --reload --debugger --with-threads --without-threads",
                  .variable = "FLASK_APP"},
    ServerProgram{.names = "quart",
                  .arguments = "COMMAND",
                  .options = "--app -A",
                  .flags = "--debug --reload",
                  .variable = "QUART_APP"},
    ServerProgram{.names = "litestar",
                  .arguments = "COMMAND",
                  .options = "--app",
                  .flags = "--debug -d --reload -r --pdb -P --use-pdb --create-self-signed-cert",
                  .variable = "LITESTAR_APP"},
    ServerProgram{.names = "fastapi",
                  .arguments = "COMMAND APP",
                  .options = "--entrypoint -e",
                  .flags = "--reload --proxy-headers"},
    ServerProgram{.names = "faststream",
                  .arguments = "COMMAND APP",
                  .flags = "--reload -r --factory -f --is-factory"},
    ServerProgram{.names = "django-admin django",
                  .arguments = "COMMAND",
                  .options = "--settings",
                  .flags = "--force-color --traceback --skip-checks",
                  .variable = "DJANGO_SETTINGS_MODULE"},
    ServerProgram{.names = "manage.py",
                  .arguments = "COMMAND",
                  .flags = "--force-color --traceback --skip-checks"},
    ServerProgram{.names = "scrapy", .arguments = "COMMAND APP"},
    ServerProgram{
        .names = "fastmcp mcp", .arguments = "COMMAND APP", .flags = "--reload --with-editable -e"},
    ServerProgram{.names = "bentoml", .arguments = "COMMAND APP", .flags = "--reload --production"},

    // Pages and notebooks.
    ServerProgram{.names = "streamlit", .arguments = "COMMAND APP"},
    ServerProgram{.names = "chainlit",
                  .arguments = "COMMAND APP",
                  .flags = "-w --watch -h -d -c "
                           "--headless --ci"},
    ServerProgram{.names = "gradio", .arguments = "APP"},
    ServerProgram{
        .names = "panel", .arguments = "COMMAND APP", .flags = "--dev --autoreload --show"},
    ServerProgram{.names = "bokeh", .arguments = "COMMAND APP", .flags = "--dev --show"},
    ServerProgram{.names = "solara", .arguments = "COMMAND APP"},
    ServerProgram{.names = "voila", .arguments = "APP"},
    ServerProgram{.names = "reflex mesop", .arguments = "COMMAND"},
    ServerProgram{.names = "jupyter", .arguments = "COMMAND", .flags = "--debug --allow-root -y"},

    // Queues and schedulers.
    ServerProgram{.names = "celery celery.bin.celery",
                  .arguments = "COMMAND",
                  .options = "-A --app",
                  .flags = "-q --quiet -C --skip-checks",
                  .title = "[celeryd: ",
                  .title_form = TitleForm::kInArguments},
    ServerProgram{.names = "dramatiq",
                  .arguments = "APP",
                  .flags = "--watch-use-polling "
                           "--use-spawn --skip-logging "
                           "-v --verbose"},
    ServerProgram{.names = "arq", .arguments = "APP", .flags = "--burst --check -v --verbose"},
    ServerProgram{.names = "saq", .arguments = "APP", .flags = "--web -v --verbose --quiet"},
    ServerProgram{.names = "taskiq",
                  .arguments = "COMMAND APP",
                  .flags = "--reload -r --fs-discover -fsd --no-parse"},
    ServerProgram{.names = "huey_consumer huey_consumer.py",
                  .arguments = "APP",
                  .flags = "-v --verbose -q --quiet -S --simple -f --flush-locks -n -C"},
    ServerProgram{.names = "faust",
                  .arguments = "COMMAND",
                  .options = "-A --app",
                  .flags = "--debug --quiet -q --json"},
    ServerProgram{.names = "procrastinate",
                  .arguments = "COMMAND",
                  .options = "-a --app",
                  .flags = "-v --verbose",
                  .variable = "PROCRASTINATE_APP"},
    ServerProgram{.names = "rq dagster prefect mlflow ray", .arguments = "COMMAND"},
    ServerProgram{.names = "locust",
                  .arguments = "",
                  .options = "-f --locustfile",
                  .flags = "--headless --autostart --master --worker"},
    ServerProgram{.names = "dask",
                  .arguments = "COMMAND",
                  .title = "dask ",
                  .title_form = TitleForm::kTwoWords},
    ServerProgram{.names = "airflow",
                  .arguments = "COMMAND",
                  .title = "airflow ",
                  .title_form = TitleForm::kTwoWords},

    // Launchers: what they run in their own process is what the workload is.
    ServerProgram{.names = "coverage",
                  .arguments = "COMMAND PROGRAM",
                  .flags = "-a --append --branch -L --pylib -p --parallel-mode --timid"},
    ServerProgram{.names = "debugpy",
                  .arguments = "PROGRAM",
                  .flags = "--wait-for-client --disable-sys-remote-exec"},
    ServerProgram{.names = "pudb pudb3 pdb ipdb bpdb",
                  .arguments = "PROGRAM",
                  .options = "-c --command",
                  .flags = "--pre --continue --steal-output -s"},
    ServerProgram{.names = "cProfile profile", .arguments = "PROGRAM"},
    ServerProgram{.names = "trace",
                  .arguments = "PROGRAM",
                  .flags = "-c --count -t --trace -l --listfuncs -T --trackcalls -r --report -m "
                           "--missing -s --summary -R --no-report -g --timing"},
    ServerProgram{.names = "runpy", .arguments = "PROGRAM"},
    ServerProgram{
        .names = "viztracer pyinstrument scalene kernprof line_profiler.kernprof jurigged",
        .arguments = "PROGRAM",
        .flags = "-l --line-by-line -v --view -b --builtin --async --cpu --gpu --memory "
                 "--profile-all --open --log_async -q --quiet --show-all --html --json"},
    ServerProgram{.names = "memray",
                  .arguments = "COMMAND PROGRAM",
                  .flags = "--live -f --force --native --follow-fork --trace-python-allocators "
                           "-q --quiet --aggregate --compress-on-exit"},
    ServerProgram{.names = "ipython ipython3 bpython IPython",
                  .arguments = "PROGRAM",
                  .flags = "-i --quick --simple-prompt --pylab"},
    ServerProgram{.names = "opentelemetry-instrument ddtrace-run ddtrace.commands.ddtrace_run",
                  .arguments = "PROGRAM",
                  .flags = "-d --debug -p --profiling"},
    ServerProgram{.names = "newrelic-admin", .arguments = "COMMAND PROGRAM"},
    ServerProgram{.names = "hupper", .arguments = "PROGRAM", .flags = "-x"},
    ServerProgram{.names = "watchmedo watchfiles", .arguments = "COMMAND"},
    ServerProgram{.names = "honcho supervisord circusd", .arguments = ""},
};

}  // namespace

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return !word.empty();
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

const ServerProgram* find_server_program(std::string_view name) {
  auto found = std::find_if(kPrograms.begin(), kPrograms.end(),
                            [&](const ServerProgram& one) { return has_word(one.names, name); });
  return found == kPrograms.end() ? nullptr : &*found;
}

const ServerProgram* find_titled_program(std::string_view title) {
  auto found = std::find_if(kPrograms.begin(), kPrograms.end(), [&](const ServerProgram& one) {
    return !one.title.empty() && title.starts_with(one.title);
  });
  return found == kPrograms.end() ? nullptr : &*found;
}

}  // namespace loopsight
