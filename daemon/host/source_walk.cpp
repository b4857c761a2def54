#include "daemon/host/source_walk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "daemon/host/file_systems.h"

namespace loopsight {
namespace {

constexpr size_t kMaxDepth = 100;
constexpr size_t kMaxParts = 400;
constexpr int kMaxLinks = 40;  // as the kernel

using Outcome = SourceOutcome;

class Walk {
 public:
  Walk(const FileUser& user, bool in_root) : user_(user), in_root_(in_root) {}

  tl::expected<FoundSource, Outcome> to(int base, const std::string& path);

 private:
  Outcome add_parts(std::string_view path);
  Outcome enter(Fd directory, const struct stat& status);
  Outcome follow(const Fd& link, const struct stat& status);
  Outcome step(const std::string& name, FoundSource& found);
  Outcome check(FoundSource& found) const;
  bool is_trusted(uint32_t owner) const {
    return owner == 0 || owner == user_.user || (root_owner_ && owner == *root_owner_);
  }

  const FileUser& user_;
  bool in_root_;
  std::vector<Fd> directories_;     // from the base to where we are
  std::vector<std::string> parts_;  // that are still to be walked, the next one last
  size_t parts_seen_ = 0;
  int links_ = 0;
  std::optional<dev_t> device_;          // of the last directory
  std::optional<uint32_t> root_owner_;   // of the root of a container, which decides all there
  std::set<uint32_t> others_;            // who controls a part of the way
  bool anybody_ = false;                 // controls one
  std::set<uint32_t> owners_of_closed_;  // of the directories that not everybody may pass
};

Outcome Walk::add_parts(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    size_t end = path.find('/');
    std::string_view part = path.substr(0, end);
    path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
    if (part.size() > NAME_MAX) return Outcome::kNotThere;
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  parts_seen_ += parts.size();
  if (parts_seen_ > kMaxParts) return Outcome::kOutside;
  parts_.insert(parts_.end(), parts.rbegin(), parts.rend());
  return Outcome::kRead;
}

Outcome Walk::enter(Fd directory, const struct stat& status) {
  if (directories_.size() >= kMaxDepth) return Outcome::kOutside;
  if (device_ != status.st_dev) {
    struct statfs system{};
    if (fstatfs(directory.get(), &system) != 0) return Outcome::kNotThere;
    if (!holds_source_files(system.f_type)) return Outcome::kFileSystem;
    device_ = status.st_dev;
  }
  if (!(status.st_mode & S_IXOTH)) owners_of_closed_.insert(status.st_uid);
  if (!is_trusted(status.st_uid)) others_.insert(status.st_uid);
  bool group_writes =
      status.st_mode & S_IWGRP && status.st_gid != 0 && status.st_gid != user_.group;
  if (!(status.st_mode & S_ISVTX) && (status.st_mode & S_IWOTH || group_writes)) anybody_ = true;
  directories_.push_back(std::move(directory));
  return Outcome::kRead;
}

Outcome Walk::follow(const Fd& link, const struct stat& status) {
  if (++links_ > kMaxLinks) return Outcome::kOutside;
  if (!is_trusted(status.st_uid)) others_.insert(status.st_uid);
  std::array<char, PATH_MAX> target{};
  ssize_t length = readlinkat(link.get(), "", target.data(), target.size());
  if (length <= 0 || length >= PATH_MAX) return Outcome::kNotThere;
  std::string_view path(target.data(), static_cast<size_t>(length));
  if (path.starts_with('/')) {
    if (!in_root_) return Outcome::kOutside;
    directories_.resize(1);
    device_.reset();
  }
  return add_parts(path);
}

Outcome Walk::step(const std::string& name, FoundSource& found) {
  if (name == "..") {
    if (directories_.size() == 1) return in_root_ ? Outcome::kRead : Outcome::kOutside;
    directories_.pop_back();
    device_.reset();
    return Outcome::kRead;
  }
  Fd next(openat(directories_.back().get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!next || fstat(next.get(), &status) != 0) return Outcome::kNotThere;
  if (S_ISLNK(status.st_mode)) return follow(next, status);
  if (S_ISDIR(status.st_mode)) return enter(std::move(next), status);
  if (!S_ISREG(status.st_mode)) return Outcome::kNotRegular;
  if (!parts_.empty()) return Outcome::kNotThere;
  found.file = std::move(next);
  found.status = status;
  return Outcome::kRead;
}

Outcome Walk::check(FoundSource& found) const {
  const struct stat& status = found.status;
  struct statfs system{};  // a file may be a mount of its own
  if (fstatfs(found.file.get(), &system) != 0) return Outcome::kNotThere;
  if (!holds_source_files(system.f_type)) return Outcome::kFileSystem;
  if (status.st_size == 0) return Outcome::kNotRegular;
  if (status.st_size > kMaxSourceFileBytes) return Outcome::kTooLarge;
  found.is_public = owners_of_closed_.empty() && status.st_mode & S_IROTH;
  if ((!others_.empty() || anybody_) && !found.is_public) {
    bool is_their_own = !anybody_ && others_.size() == 1 && status.st_uid == *others_.begin() &&
                        std::all_of(owners_of_closed_.begin(), owners_of_closed_.end(),
                                    [&](uint32_t owner) { return owner == *others_.begin(); });
    if (!is_their_own) return Outcome::kOthersPath;
  }
  return Outcome::kRead;
}

tl::expected<FoundSource, Outcome> Walk::to(int base, const std::string& path) {
  Fd first(openat(base, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat status{};
  if (!first || fstat(first.get(), &status) != 0) return tl::make_unexpected(Outcome::kNotThere);
  if (in_root_ && user_.user != 0) root_owner_ = status.st_uid;
  Outcome outcome = enter(std::move(first), status);
  if (outcome == Outcome::kRead) outcome = add_parts(path);
  FoundSource found;
  while (outcome == Outcome::kRead && !found.file) {
    if (parts_.empty()) return tl::make_unexpected(Outcome::kNotRegular);  // a directory
    std::string name = std::move(parts_.back());
    parts_.pop_back();
    outcome = step(name, found);
  }
  if (outcome == Outcome::kRead) outcome = check(found);
  if (outcome != Outcome::kRead) return tl::make_unexpected(outcome);
  return found;
}

}  // namespace

tl::expected<FoundSource, SourceOutcome> find_source(int base, const std::string& path,
                                                     const FileUser& user) {
  if (path.ends_with('/')) return tl::make_unexpected(Outcome::kNotRegular);
  return Walk(user, path.starts_with('/')).to(base, path);
}

Fd open_found(int proc, const FoundSource& found) {
  std::string name = fmt::format("self/fd/{}", found.file.get());
  Fd file(openat(proc, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat status{};
  if (!file || fstat(file.get(), &status) != 0 || status.st_dev != found.status.st_dev ||
      status.st_ino != found.status.st_ino || !S_ISREG(status.st_mode))
    return {};
  return file;
}

bool is_public_at(int host_root, const std::string& host_path, const FileUser& user,
                  const struct stat& status) {
  if (!host_path.starts_with('/')) return false;
  auto found = find_source(host_root, host_path, user);
  return found && found->is_public && found->status.st_dev == status.st_dev &&
         found->status.st_ino == status.st_ino;
}

}  // namespace loopsight
