// What an argument of a command line may be, by its letters alone.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace loopsight {

using Arguments = std::vector<std::string_view>;

Arguments split(std::string_view text, char separator);

constexpr size_t kMaxNamePart = 96;

// "main:app", "shop.web:create_app()", "src/main.py"; "" for what names no application. The
// arguments of a factory are left out.
std::string application_in(std::string_view argument);

// "src/main.py", "conf.ini", "./site"; no URL.
bool is_file(std::string_view text);

// "shop-web", as programs call themselves.
bool is_plain_name(std::string_view text);

// Letters, digits and what is in `between`.
bool is_made_of_words(std::string_view text, std::string_view between);

// "python3.11", "/usr/bin/pypy3"
bool is_interpreter(std::string_view path);

// What CPython's own options come to: a module, code, or the first argument after them.
struct InterpreterOptions {
  std::optional<std::string_view> module;
  bool code = false;
  size_t end = 0;  // the index of what -m or -c has, or of the first argument after the options
};
InterpreterOptions read_options(const Arguments& arguments);

}  // namespace loopsight
