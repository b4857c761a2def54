#include "daemon/python/code_origin.h"

#include <algorithm>
#include <array>

namespace loopsight {
namespace {

constexpr size_t kNone = std::string_view::npos;

// The end of ".../lib/python3.11/" or ".../lib64/python3.11/" in a path, kNone where there is none.
size_t library_folder_end(std::string_view path) {
  for (size_t at = path.find("/python3"); at != kNone; at = path.find("/python3", at + 1)) {
    std::string_view before = path.substr(0, at);
    if (!before.ends_with("/lib") && !before.ends_with("/lib64")) continue;
    size_t slash = path.find('/', at + 1);
    if (slash == kNone) continue;
    std::string_view version = path.substr(at + 8, slash - at - 8);
    bool plain = std::all_of(version.begin(), version.end(),
                             [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == 't'; });
    if (plain) return slash + 1;
  }
  return kNone;
}

// Folders of a repository in which its own packages may lie, and folders of others' packages.
constexpr std::array<std::string_view, 3> kSourceFolders = {"src", "lib", "python"};
constexpr std::array<std::string_view, 4> kVendorFolders = {"vendor", "_vendor", "vendored",
                                                            "third_party"};
// What is worked on and run from its repository.
constexpr std::array<std::string_view, 25> kFrameworks = {
    "aiohttp", "anyio",      "asgiref",   "celery",   "channels",  "curio",   "daphne",
    "fastapi", "gevent",     "grpc",      "gunicorn", "hypercorn", "kombu",   "quart",
    "sanic",   "sniffio",    "starlette", "tornado",  "trio",      "twisted", "uvicorn",
    "uvloop",  "websockets", "werkzeug",  "zope"};
// Files that hold one package and no program.
constexpr std::array<std::string_view, 2> kPackageArchives = {".whl", ".egg"};
constexpr std::array<std::string_view, 6> kArchives = {".zip", ".pyz", ".pex",
                                                       ".par", ".xar", ".shiv"};
// Folders in which a program and all that it uses lie together.
constexpr std::array<std::string_view, 2> kBundles = {"/var/task/", "/opt/python/"};
constexpr std::string_view kFrozenFolder = "_MEI";  // PyInstaller unpacks into /tmp/_MEIa1b2c3

bool is_one_of(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool ends_with_one_of(std::string_view name, const auto& suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

// "shop" of "shop/db.py" and of "shop.py".
std::string_view first_name(std::string_view path) {
  std::string_view name = path.substr(0, path.find('/'));
  return name.ends_with(".py")    ? name.substr(0, name.size() - 3)
         : name.ends_with(".pyc") ? name.substr(0, name.size() - 4)
                                  : name;
}

enum class Root {
  kNothing,    // the folders say nothing
  kLibrary,    // of the standard library
  kInstalled,  // of installed packages
  kBundle,     // of everything
};
struct Place {
  Root root = Root::kNothing;
  size_t start = 0;  // of the part that names the module
};

// A single file without a folder is what an old version calls the program itself (python app.py),
// which may bear the name of a module that hardly any program uses.
constexpr std::array<std::string_view, 7> kScripts = {"code", "profile", "run",  "site",
                                                      "test", "this",    "trace"};

bool is_of_bundle(std::string_view path) {
  std::string_view name = first_name(path);
  if (path.find('/') == kNone && is_one_of(name, kScripts)) return false;
  return is_library_module(name) || is_known_package(name);
}

// By the folders and archives in the path, of which the innermost that says something counts.
Place place_in(std::string_view path) {
  Place place;
  size_t start = 0;
  for (size_t slash = path.find('/'); slash != kNone; slash = path.find('/', start)) {
    std::string_view folder = path.substr(start, slash - start);
    start = slash + 1;
    if (folder == "site-packages" || folder == "dist-packages" ||
        ends_with_one_of(folder, kPackageArchives) || folder.starts_with("pypi__") ||
        (folder == "lib" && path.find("/__pypackages__/") < slash))
      place = {Root::kInstalled, start};
    else if (folder == "base_library.zip" ||
             (folder.starts_with("python3") && folder.ends_with(".zip")) ||
             (folder == "Lib" && is_library_module(first_name(path.substr(start)))))
      place = {Root::kLibrary, start};
    else if (ends_with_one_of(folder, kArchives) || folder.starts_with(kFrozenFolder))
      place = {Root::kBundle, start};
  }
  return place;
}

Place place_of(std::string_view path) {
  Place place = place_in(path);
  if (place.root == Root::kInstalled) return place;
  if (size_t end = library_folder_end(path); end != kNone && end > place.start)
    return {Root::kLibrary, end};
  if (place.root != Root::kNothing) return place;
  for (std::string_view bundle : kBundles)
    if (path.starts_with(bundle)) return {Root::kBundle, bundle.size()};
  if (!path.starts_with('/') && is_of_bundle(path)) return {Root::kBundle, 0};
  return place;
}

Origin by_name(std::string_view path) {
  std::string_view name = first_name(path);
  if (is_plumbing_package(name)) return Origin::kPlumbing;
  if (is_library_module(name)) return Origin::kLibrary;
  return is_known_package(name) ? Origin::kPackage : Origin::kOwn;
}

// By a folder in the path that is a known package: one among others' packages, or a framework in a
// repository of its own. A project of that name alone is the user's.
Origin by_folders(std::string_view path) {
  std::string_view above;
  size_t start = 0;
  for (size_t slash = path.find('/'); slash != kNone; slash = path.find('/', start)) {
    std::string_view folder = path.substr(start, slash - start);
    if (is_one_of(folder, kFrameworks) && (folder == above || is_one_of(above, kSourceFolders)))
      return Origin::kPlumbing;
    if (is_one_of(above, kVendorFolders) && is_known_package(folder))
      return is_plumbing_package(folder) ? Origin::kPlumbing : Origin::kPackage;
    above = folder;
    start = slash + 1;
  }
  return Origin::kOwn;
}

// "<string>" of exec and eval, and what libraries that write code call theirs: attrs, decorator,
// makefun, boltons, numpy, sympy.
bool is_generated(std::string_view file) {
  if (file == "<string>") return true;
  for (std::string_view mark : {"generated", "-gen-", "__array_function__", "boltons", "<makefun"})
    if (file.find(mark) != kNone) return true;
  return false;
}

// "a/b/c.py" -> "a.b.c".
std::string dotted(std::string_view path) {
  std::string module(path);
  if (module.ends_with(".pyc")) module.resize(module.size() - 1);
  if (module.ends_with(".py")) module.resize(module.size() - 3);
  if (module.ends_with("/__init__")) module.resize(module.size() - 9);
  std::replace(module.begin(), module.end(), '/', '.');
  return module;
}

}  // namespace

Origin origin_of(std::string_view file) {
  constexpr std::string_view kFrozen = "<frozen ";
  if (file.starts_with(kFrozen) && file.ends_with('>')) {
    std::string_view module = file.substr(kFrozen.size(), file.size() - kFrozen.size() - 1);
    std::string_view name = top_package(module);
    if (is_library_module(name) || name.starts_with('_') || name == "getpath")
      return Origin::kLibrary;
    return by_name(name);
  }
  if (file.starts_with('<')) return is_generated(file) ? Origin::kGenerated : Origin::kOwn;
  // The interpreter's own frame between a class and its __init__ (3.12 and newer, specialize.c).
  if (file == "__init__") return Origin::kLibrary;
  Place place = place_of(file);
  std::string_view inside = file.substr(place.start);
  switch (place.root) {
    case Root::kLibrary: return Origin::kLibrary;
    case Root::kInstalled:
      return is_plumbing_package(first_name(inside)) ? Origin::kPlumbing : Origin::kPackage;
    case Root::kBundle: return by_name(inside);
    default: return by_folders(file);
  }
}

std::string module_name(std::string_view file) {
  if (file.starts_with("<frozen ") && file.ends_with('>'))
    return std::string(file.substr(8, file.size() - 9));
  if (file.starts_with('<')) return std::string(file);
  Place place = place_of(file);
  if (place.root != Root::kNothing) return dotted(file.substr(place.start));
  size_t slash = file.rfind('/');
  size_t start = slash == kNone ? 0 : slash + 1;
  // Of a package's own file the folder says more.
  if (file.substr(start) == "__init__.py" && start > 1) {
    size_t parent = file.rfind('/', start - 2);
    start = parent == kNone ? 0 : parent + 1;
  }
  return dotted(file.substr(start));
}

std::string_view top_package(std::string_view module) { return module.substr(0, module.find('.')); }

}  // namespace loopsight
