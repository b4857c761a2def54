// Where a program's file or working directory lies, in words that outlive a release of it: what
// tells apart two programs that are called main.py. Paths are only read as text here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace loopsight {

// True of names that say nothing of the program: main.py, app, manage.py, server:app.
bool is_common_name(std::string_view name);

// The folder's path without what changes from one release or start to the next (versions, dates,
// hashes, "current", folders for temporary files) and without what every program has (the host's
// upper folders, a virtual environment's): "/srv/shop/releases/20261101/.venv/bin" -> "shop".
std::string lasting_place(std::string_view folder);

// The last folder of a place that says something, and what is below it: of "alice/shop/src" that is
// "shop/src". `depth` many more before it.
std::string end_of_place(std::string_view place, size_t depth = 0);

// Without "." and "..", which are followed in the text.
std::string absolute_path(std::string_view folder, std::string_view path);

std::string_view base_name(std::string_view path);
std::string_view folder_of(std::string_view path);  // "" without a slash

}  // namespace loopsight
