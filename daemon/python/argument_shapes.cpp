#include "daemon/python/argument_shapes.h"

#include <algorithm>
#include <iterator>

#include "daemon/python/program_place.h"

namespace loopsight {
namespace {

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c == '_' || static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

bool is_identifier(std::string_view text) {
  return is_word(text) && (text[0] < '0' || text[0] > '9');
}

// "shop", "shop.web.asgi"
bool is_dotted(std::string_view text) {
  auto parts = split(text, '.');
  return !parts.empty() && !text.ends_with('.') &&
         std::all_of(parts.begin(), parts.end(), is_identifier);
}

}  // namespace

Arguments split(std::string_view text, char separator) {
  Arguments parts;
  while (!text.empty()) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

bool is_made_of_words(std::string_view text, std::string_view between) {
  std::string plain(text);
  std::erase_if(plain, [&](char c) { return between.find(c) != std::string_view::npos; });
  return is_word(plain);
}

bool is_file(std::string_view text) {
  constexpr std::string_view kEndings[] = {".py",  ".pyc", ".pyz",  ".pex",  ".pyw", ".ipynb",
                                           ".tac", ".ini", ".toml", ".json", ".yml", ".yaml"};
  bool ends = std::any_of(std::begin(kEndings), std::end(kEndings),
                          [&](std::string_view one) { return text.ends_with(one); });
  return (ends || text.find('/') != std::string_view::npos) && !text.ends_with('/') &&
         text.find("//") == std::string_view::npos && is_made_of_words(text, "./~+- @");
}

bool is_plain_name(std::string_view text) {
  return text.size() <= kMaxNamePart && text[0] != '-' && is_made_of_words(text, ".-");
}

bool is_interpreter(std::string_view path) {
  std::string_view name = base_name(path);
  return (name.starts_with("python") || name.starts_with("pypy")) && !name.ends_with(".py") &&
         name.find(' ') == std::string_view::npos;
}

// As CPython's getopt reads them: letters in a row, of which one that takes a value ends the row.
InterpreterOptions read_options(const Arguments& arguments) {
  InterpreterOptions options;
  size_t i = 1;
  for (; i < arguments.size(); i++) {
    std::string_view argument = arguments[i];
    if (argument.size() < 2 || argument[0] != '-') break;
    if (argument == "--check-hash-based-pycs") i++;
    if (argument.starts_with("--")) continue;
    size_t letter = argument.find_first_of("cmWX", 1);
    if (letter == std::string_view::npos) continue;
    std::string_view value = argument.substr(letter + 1);
    if (value.empty()) value = ++i < arguments.size() ? arguments[i] : std::string_view();
    if (argument[letter] == 'c') return {.module = std::nullopt, .code = true, .end = i};
    if (argument[letter] == 'm') return {.module = value, .code = false, .end = i};
  }
  options.end = i;
  return options;
}

std::string application_in(std::string_view argument) {
  if (argument.empty() || argument.size() > kMaxNamePart) return "";
  size_t open = argument.find('(');
  std::string_view call = open == std::string_view::npos ? "" : "()";
  argument = argument.substr(0, open);
  size_t colon = argument.rfind(':');
  std::string_view module = argument.substr(0, colon);
  if (colon != std::string_view::npos && !is_dotted(argument.substr(colon + 1))) return "";
  if (!is_dotted(module) && !is_file(module)) return "";
  return std::string(argument) + std::string(call);
}

}  // namespace loopsight
