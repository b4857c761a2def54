#include "daemon/python/plumbing.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "daemon/python/run_methods.h"

namespace loopsight {
namespace {

// The end of ".../lib/python3.11/" or ".../lib64/python3.11/" in a path, npos where there is none.
size_t library_root_end(std::string_view path) {
  for (size_t at = path.find("/python3"); at != std::string_view::npos;
       at = path.find("/python3", at + 1)) {
    std::string_view before = path.substr(0, at);
    if (!before.ends_with("/lib") && !before.ends_with("/lib64")) continue;
    size_t slash = path.find('/', at + 1);
    if (slash == std::string_view::npos) continue;
    std::string_view version = path.substr(at + 8, slash - at - 8);
    bool plain = std::all_of(version.begin(), version.end(),
                             [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == 't'; });
    if (plain) return slash + 1;
  }
  return std::string_view::npos;
}

// Packages that call the user's code and whose own frames say nothing about it, for where they are
// not installed but vendored, zipped or run from their repository.
constexpr std::array<std::string_view, 25> kPlumbingPackages = {
    "aiohttp", "anyio",      "asgiref",   "celery",   "channels",  "curio",   "daphne",
    "fastapi", "gevent",     "grpc",      "gunicorn", "hypercorn", "kombu",   "quart",
    "sanic",   "sniffio",    "starlette", "tornado",  "trio",      "twisted", "uvicorn",
    "uvloop",  "websockets", "werkzeug",  "zope"};
constexpr std::array<std::string_view, 7> kPackageFolders = {
    "src", "lib", "vendor", "_vendor", "vendored", "third_party", "python"};
constexpr std::array<std::string_view, 5> kArchives = {".zip", ".egg", ".whl", ".pex", ".pyz"};

// Modules of the standard library by their own name, for interpreters whose library lies at a path
// that does not look like one (a zip file, a frozen application).
constexpr std::array<std::string_view, 12> kPlumbingModules = {
    "selectors", "threading", "contextlib", "contextvars", "functools", "queue",
    "socket",    "ssl",       "subprocess", "runpy",       "traceback", "socketserver"};

bool is_one_of(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// True where a folder in the path is such a package: one that lies in an archive, in a folder for
// packages, or in a repository of its own name. A project of that name alone is the user's.
bool passes_package(std::string_view path) {
  std::string_view above;
  size_t start = 0;
  for (size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', start)) {
    std::string_view folder = path.substr(start, slash - start);
    if (is_one_of(folder, kPlumbingPackages) &&
        (folder == above || is_one_of(above, kPackageFolders) ||
         std::any_of(kArchives.begin(), kArchives.end(),
                     [&](std::string_view suffix) { return above.ends_with(suffix); })))
      return true;
    above = folder;
    start = slash + 1;
  }
  return false;
}

// A module inside a zip file: ".../python311.zip/selectors.py".
bool is_zipped_library(std::string_view path) {
  size_t zip = path.find(".zip/");
  if (zip == std::string_view::npos || path.find("python3") == std::string_view::npos) return false;
  std::string_view name = path.substr(zip + 5);
  return name.ends_with(".py") && is_one_of(name.substr(0, name.size() - 3), kPlumbingModules);
}

bool is_library_file(std::string_view filename) {
  return filename.starts_with("<frozen ") ||
         filename.find("/site-packages/") != std::string_view::npos ||
         filename.find("/dist-packages/") != std::string_view::npos ||
         library_root_end(filename) != std::string_view::npos || is_zipped_library(filename);
}

// What calls the code that a loop runs, as module and function; its callees are that code.
struct Caller {
  std::string_view module;
  std::string_view function;
};
constexpr Caller kCallers[] = {
    {"asyncio.events", "_run"},
    {"asyncio.base_events", "run_forever"},
    {"asyncio.base_events", "run_until_complete"},
    {"asyncio.runners", "run"},
    {"uvloop", "run"},
    {"tornado.platform.asyncio", "start"},
    {"tornado.ioloop", "_run_callback"},
    {"trio._core._run", "unrolled_run"},
    {"twisted.internet.base", "runUntilCurrent"},
    {"twisted.internet.base", "mainLoop"},
    {"gevent.hub", "run"},
};

}  // namespace

std::string module_name(const std::string& filename) {
  std::string_view path = filename;
  if (path.starts_with("<frozen ") && path.ends_with(">"))
    return std::string(path.substr(8, path.size() - 9));
  if (path.starts_with("<")) return std::string(path);
  size_t root = std::string_view::npos;
  for (std::string_view packages : {"/site-packages/", "/dist-packages/"})
    if (size_t at = path.rfind(packages); at != std::string_view::npos) root = at + packages.size();
  if (root == std::string_view::npos) root = library_root_end(path);
  if (root == std::string_view::npos) {
    size_t slash = path.rfind('/');
    root = slash == std::string_view::npos ? 0 : slash + 1;
    // Of a package's own file the folder says more.
    if (path.substr(root) == "__init__.py" && root > 1) {
      size_t parent = path.rfind('/', root - 2);
      root = parent == std::string_view::npos ? 0 : parent + 1;
    }
  }
  std::string module(path.substr(root));
  if (module.ends_with(".py")) module.resize(module.size() - 3);
  if (module.ends_with("/__init__")) module.resize(module.size() - 9);
  std::replace(module.begin(), module.end(), '/', '.');
  return module;
}

std::string_view last_name(std::string_view function) {
  size_t dot = function.rfind('.');
  return dot == std::string_view::npos ? function : function.substr(dot + 1);
}

bool is_run_once(const Frame& frame) {
  return is_of_module(frame.file, "asyncio.base_events") &&
         last_name(frame.function) == "_run_once";
}

bool is_plumbing(const Frame& frame) {
  return frame.function == kUnreadable || is_library_file(frame.file) || passes_package(frame.file);
}

const Frame* find_culprit(const std::vector<Frame>& frames) {
  for (const Frame& frame : frames)
    if (!is_plumbing(frame)) return &frame;
  for (const Frame& frame : frames)
    if (frame.function != kUnreadable) return &frame;
  return nullptr;
}

const Frame* find_root(const std::vector<Frame>& frames) {
  for (size_t i = 0; i < frames.size(); i++) {
    std::string_view function = last_name(frames[i].function);
    for (const Caller& method : kCallers)
      if (function == method.function && is_of_module(frames[i].file, method.module))
        return i > 0 && frames[i - 1].function != kUnreadable ? &frames[i - 1] : nullptr;
  }
  return nullptr;
}

}  // namespace loopsight
