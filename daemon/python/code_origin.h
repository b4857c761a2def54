// Where a frame's code comes from, by the name of its file alone: written for this service, an
// installed package, what calls the service's code (plumbing), or the standard library.
//
// What makes it right: an installation puts packages into folders that are called so (site-packages
// in a venv, in conda, in Nix and in Bazel's runfiles, dist-packages, a wheel or an egg), and the
// standard library into lib/python3.x or an archive of its own. Where all lies together (a zip
// application, a frozen program, a function's bundle) the names of modules decide.
#pragma once

#include <string>
#include <string_view>

namespace loopsight {

enum class Origin {
  kOwn,
  kGenerated,  // text that was compiled in the program: of whoever calls it
  kPackage,
  kPlumbing,
  kLibrary,
};

Origin origin_of(std::string_view file);

// "asyncio.base_events" of "/usr/lib/python3.11/asyncio/base_events.py", "app" of "/srv/app.py".
std::string module_name(std::string_view file);

// "shop" of the module "shop.db.orders".
std::string_view top_package(std::string_view module);

// By the name of a top-level package or module; see code_origin_names.cpp.
bool is_plumbing_package(std::string_view name);
bool is_known_package(std::string_view name);  // plumbing too
bool is_library_module(std::string_view name);

}  // namespace loopsight
