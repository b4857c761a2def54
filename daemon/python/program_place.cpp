#include "daemon/python/program_place.h"

#include <algorithm>
#include <array>
#include <vector>

namespace loopsight {
namespace {

constexpr size_t kMaxFolders = 64;

bool is_one_of(std::string_view word, std::string_view words) {
  while (!words.empty()) {
    size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_made_of(std::string_view text, std::string_view characters) {
  return text.find_first_not_of(characters) == std::string_view::npos;
}

// 1.4.2, 2026-11-22, 20261122T1804; a commit's or a digest's digits; mkdtemp's and PyInstaller's.
bool is_made_up(std::string_view folder) {
  constexpr std::string_view kHex = "0123456789abcdef-";
  if (is_made_of(folder, "0123456789._-TZ")) return true;
  if (folder.size() >= 7 && is_made_of(folder, kHex) &&
      std::any_of(folder.begin(), folder.end(), is_digit))
    return true;
  if (folder.starts_with("_MEI") || folder.starts_with("tmp.")) return true;
  return folder.size() == 11 && folder.starts_with("tmp") &&
         is_made_of(folder, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

// What every host, and every installation, has.
bool says_nothing(std::string_view folder) {
  return is_made_up(folder) ||
         is_one_of(folder,
                   "bin sbin venv .venv env .env virtualenv current release releases previous "
                   "srv opt home usr local var www html lib lib64 libexec share mnt data tmp root "
                   "run private Users shm dev");
}

// What many programs have, so that the folder above it is needed, too.
bool is_common_folder(std::string_view folder) {
  return is_one_of(folder,
                   "src app apps code source backend server service services api web python py "
                   "project main lib core workspace repo build dist deploy prod site public");
}

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> folders;
  while (!path.empty() && folders.size() < kMaxFolders) {
    size_t end = std::min(path.find('/'), path.size());
    if (end > 0) folders.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return folders;
}

}  // namespace

std::string_view base_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view folder_of(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

bool is_common_name(std::string_view name) {
  name = name.substr(0, name.find_first_of(".:"));
  return is_one_of(name,
                   "main app application server run start start_server manage api web wsgi asgi "
                   "bot cli index site entrypoint __main__ launch launcher runserver run_server "
                   "serve backend demo example hello test script job worker tasks src project core "
                   "program __init__");
}

std::string lasting_place(std::string_view folder) {
  std::string place;
  for (std::string_view one : split(folder)) {
    if (says_nothing(one)) continue;
    if (!place.empty()) place += '/';
    place += one;
  }
  return place;
}

std::string end_of_place(std::string_view place, size_t depth) {
  auto folders = split(place);
  size_t first = folders.size();
  while (first > 0) {
    first--;
    if (!is_common_folder(folders[first]) && depth-- == 0) break;
  }
  std::string end;
  for (size_t i = first; i < folders.size(); i++) {
    if (!end.empty()) end += '/';
    end += folders[i];
  }
  return end;
}

std::string absolute_path(std::string_view folder, std::string_view path) {
  std::string whole(path);
  if (!path.starts_with('/')) whole = std::string(folder) + "/" + whole;
  std::vector<std::string_view> kept;
  for (std::string_view one : split(whole)) {
    if (one == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (one != ".") {
      kept.push_back(one);
    }
  }
  std::string plain;
  for (std::string_view one : kept) {
    plain += '/';
    plain += one;
  }
  return plain.empty() ? "/" : plain;
}

}  // namespace loopsight
