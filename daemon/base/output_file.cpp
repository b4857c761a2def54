#include "daemon/base/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

struct stat folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct stat status{};
  if (stat(folder.c_str(), &status) != 0) status.st_mode = S_IWOTH;  // unknown: trust nobody
  return status;
}

// Only we and root can have put there what is there.
bool is_ours_alone(const struct stat& folder) {
  return (folder.st_uid == geteuid() || folder.st_uid == 0) && (folder.st_mode & S_IWOTH) == 0;
}

// Why what was there before us must not be written to; "" where it may.
std::string why_not(const struct stat& file, const struct stat& folder, bool only_file) {
  bool regular = S_ISREG(file.st_mode);
  if (!regular && only_file) return "not a regular file";
  bool anybody = (folder.st_mode & S_IWOTH) != 0;
  // In a folder that is not anybody's, a terminal or pipe of another user is his who named it.
  if (file.st_uid != geteuid() && (regular || anybody))
    return fmt::format("it belongs to user {}, who could read it", file.st_uid);
  if (regular && anybody && file.st_nlink > 1)
    return "it has a second name, which somebody else may have given it";
  return "";
}

}  // namespace

Result<Fd> open_output_file(const std::string& path, const OutputFileOptions& options) {
  auto failed = [&](const std::string& why) {
    return failure(fmt::format("cannot write {}: {}", clean_text(path, 200), why));
  };
  int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | (options.append ? O_APPEND : 0);
  Fd created(open(path.c_str(), flags | O_CREAT | O_EXCL, options.mode));
  if (created) return created;
  if (errno != EEXIST) return failed(std::strerror(errno));

  struct stat folder = folder_of(path);
  struct stat there{};
  if (lstat(path.c_str(), &there) != 0) return failed(std::strerror(errno));
  if (S_ISLNK(there.st_mode)) {
    if (options.only_file || !is_ours_alone(folder)) return failed("it is a symbolic link");
    flags &= ~O_NOFOLLOW;
    if (stat(path.c_str(), &there) != 0) return failed(std::strerror(errno));
  }
  if (auto why = why_not(there, folder, options.only_file); !why.empty()) return failed(why);
  // A FIFO waits for its reader, but not one that took another file's place just now.
  if (!S_ISFIFO(there.st_mode)) flags |= O_NONBLOCK;
  Fd fd(open(path.c_str(), flags));
  struct stat found{};
  if (!fd || fstat(fd.get(), &found) != 0)
    return failed(errno == ELOOP ? "it is a symbolic link" : std::strerror(errno));
  if (auto why = why_not(found, folder, options.only_file); !why.empty()) return failed(why);
  if (fcntl(fd.get(), F_SETFL, flags & O_APPEND) != 0) return failed(std::strerror(errno));
  if (!S_ISREG(found.st_mode)) return fd;
  if (mode_t wide = found.st_mode & 07777 & ~options.mode;
      wide != 0 && fchmod(fd.get(), found.st_mode & options.mode) != 0)
    return failed(std::strerror(errno));
  if (!options.append && ftruncate(fd.get(), 0) != 0) return failed(std::strerror(errno));
  return fd;
}

}  // namespace loopsight
