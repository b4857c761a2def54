#include "daemon/python/application.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "daemon/host/proc.h"
#include "daemon/python/code_origin.h"

namespace loopsight {
namespace {

constexpr size_t kMaxCommandLine = 4096;
constexpr size_t kMaxName = 128;

// Programs to which another module is named, as their script and their package are called.
constexpr std::array<std::string_view, 20> kServers = {
    "aiohttp",   "celery",       "daphne",  "dask",   "flask",      "granian", "gunicorn",
    "hypercorn", "litestar",     "fastapi", "robyn",  "sanic",      "uvicorn", "waitress",
    "streamlit", "django-admin", "manage",  "django", "blacksheep", "faust"};

bool is_server(std::string_view name) {
  return std::find(kServers.begin(), kServers.end(), name) != kServers.end();
}

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

// "shop" of "shop.web:create_app()"; "" of what names no module. `with_attribute` says whether
// there was a colon.
std::string_view named_package(std::string_view text, bool& with_attribute) {
  std::string_view module = text.substr(0, text.find(':'));
  with_attribute = module.size() < text.size();
  if (with_attribute &&
      !is_name_start(text.substr(module.size() + 1).empty() ? ' ' : text[module.size() + 1]))
    return "";
  bool starts = true;
  for (char c : module) {
    if (starts ? !is_name_start(c) : !is_name(c) && c != '.') return "";
    starts = c == '.';
  }
  return module.empty() || starts ? "" : top_package(module);
}

// What a server is told to run, among the arguments after its name.
std::string_view named_to_server(const std::vector<std::string_view>& arguments, size_t first) {
  bool with_attribute = false;
  for (size_t i = first; i < arguments.size(); i++) {
    auto package = named_package(arguments[i], with_attribute);
    if (!package.empty() && with_attribute) return package;
  }
  for (size_t i = first; i < arguments.size(); i++) {
    std::string_view value;
    if (arguments[i] == "-A" || arguments[i] == "--app")
      value = i + 1 < arguments.size() ? arguments[i + 1] : std::string_view();
    else if (arguments[i].starts_with("--app="))
      value = arguments[i].substr(6);
    if (auto package = named_package(value, with_attribute); !package.empty()) return package;
  }
  for (size_t i = first; i < arguments.size(); i++) {
    bool is_value = i > first && arguments[i - 1].starts_with('-');
    auto package = named_package(arguments[i], with_attribute);
    if (!package.empty() && !is_value) return package;
  }
  return "";
}

std::string_view base_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// "gunicorn: worker [shop.wsgi:app]", "[celeryd: a@b:MainProcess] (-A shop worker)": what
// setproctitle made of the arguments.
std::string_view named_in_title(std::string_view title) {
  bool with_attribute = false;
  if (size_t at = title.find("-A "); at != std::string_view::npos) {
    std::string_view rest = title.substr(at + 3);
    return named_package(rest.substr(0, rest.find_first_of(" )")), with_attribute);
  }
  size_t open = title.find('[');
  size_t close = title.find(']');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return "";
  return named_package(title.substr(open + 1, close - open - 1), with_attribute);
}

std::string spelled(std::string_view name) {
  std::string package(name.substr(0, kMaxName));
  std::replace(package.begin(), package.end(), '-', '_');
  return package;
}

// The first argument that is no option of the interpreter; what -m names, where that is there.
struct Started {
  std::string_view what;
  bool is_module = false;
  bool is_code = false;
  size_t next = 0;
};

Started find_started(const std::vector<std::string_view>& arguments) {
  for (size_t i = 1; i < arguments.size(); i++) {
    std::string_view argument = arguments[i];
    if (argument.size() < 2 || argument[0] != '-') return {.what = argument, .next = i + 1};
    if (argument == "--check-hash-based-pycs") i++;
    if (argument.starts_with("--")) continue;
    size_t letter = argument.find_first_of("cmWX", 1);
    if (letter == std::string_view::npos) continue;
    if (argument[letter] == 'c') return {.is_code = true};
    std::string_view value = argument.substr(letter + 1);
    if (value.empty()) value = ++i < arguments.size() ? arguments[i] : std::string_view();
    if (argument[letter] == 'm') return {.what = value, .is_module = true, .next = i + 1};
  }
  return {};
}

bool is_interpreter(std::string_view argument) {
  std::string_view name = base_name(argument);
  return name.starts_with("python") || name.starts_with("pypy");
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = text.find('\0');
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

uint32_t parent_of(const std::string& proc_root, uint32_t tgid) {
  auto stat = read_proc_file(fmt::format("{}/{}/stat", proc_root, tgid), 4096);
  size_t close = stat ? stat->rfind(')') : std::string::npos;
  if (close == std::string::npos || close + 4 >= stat->size()) return 0;
  const char* number = stat->data() + close + 4;  // ") S 123": after the state
  uint32_t parent = 0;
  std::from_chars(number, stat->data() + stat->size(), parent);
  return parent;
}

}  // namespace

std::string application_of(const std::vector<std::string_view>& arguments) {
  if (arguments.empty()) return "";
  if (arguments[0].find(' ') != std::string_view::npos)
    return spelled(named_in_title(arguments[0]));
  if (!is_interpreter(arguments[0])) return "";
  Started started = find_started(arguments);
  if (started.is_code || started.what.empty()) return "";
  bool is_script = !started.is_module;
  std::string_view name = is_script ? base_name(started.what) : top_package(started.what);
  bool has_suffix = is_script && name.ends_with(".py");
  if (has_suffix) name.remove_suffix(3);
  if (is_server(name)) return spelled(named_to_server(arguments, started.next));
  return has_suffix ? "" : spelled(name);
}

std::string find_application(const std::string& proc_root, uint32_t tgid) {
  constexpr int kMostGenerations = 3;  // a server, its fork server, its worker
  for (int i = 0; i < kMostGenerations && tgid > 1; i++) {
    auto text = read_proc_file(fmt::format("{}/{}/cmdline", proc_root, tgid), kMaxCommandLine);
    if (!text) return "";
    auto arguments = split(*text);
    bool is_child = !arguments.empty() && is_interpreter(arguments[0]) &&
                    find_started(arguments).is_code &&
                    text->find("multiprocessing") != std::string::npos;
    if (!is_child) return application_of(arguments);
    tgid = parent_of(proc_root, tgid);
  }
  return "";
}

}  // namespace loopsight
