#include "daemon/web/local_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr mode_t kMode = 0660;
constexpr int kBacklog = 128;

Result<gid_t> find_group(const std::string& text) {
  gid_t number = 0;
  const char* end = text.data() + text.size();
  auto [stop, wrong] = std::from_chars(text.data(), end, number);
  if (wrong == std::errc() && stop == end && number != static_cast<gid_t>(-1)) return number;
  std::array<char, 16384> buffer{};
  group entry{};
  group* found = nullptr;
  if (getgrnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found)
    return found->gr_gid;
  return failure(fmt::format("there is no group '{}'", clean_text(text, 100)));
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

// A path to what a descriptor stands for, whatever its name has come to mean meanwhile.
std::string path_of(const Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

}  // namespace

class SocketMaker {
 public:
  explicit SocketMaker(std::string path) : path_(std::move(path)) {}

  Result<LocalListener> make(const std::string& group_name) {
    std::optional<gid_t> group;
    if (!group_name.empty()) {
      auto found = find_group(group_name);
      if (!found) return failed(found.error().message);
      group = *found;
    }
    for (auto step : {&SocketMaker::check_path, &SocketMaker::open_folder, &SocketMaker::clear_way})
      if (std::string why = (this->*step)(); !why.empty()) return failed(why);
    if (std::string why = bind_socket(group); !why.empty()) {
      remove_ours();
      return failed(why);
    }
    LocalListener made{std::move(socket_), {}};
    made.file.folder_ = std::move(folder_);
    made.file.name_ = name_;
    made.file.device_ = made_.st_dev;
    made.file.inode_ = made_.st_ino;
    return made;
  }

 private:
  tl::unexpected<Error> failed(const std::string& why) const {
    return failure(fmt::format(
        "cannot listen on unix:{}: {}; remove what is there or give another --web.listen-address",
        clean_text(path_, 200), why));
  }

  std::string check_path() {
    if (!path_.starts_with('/')) return "the path of a socket must be absolute";
    if (path_.size() >= sizeof(sockaddr_un::sun_path))
      return fmt::format("the path is longer than {} bytes", sizeof(sockaddr_un::sun_path) - 1);
    if (path_.find('\0') != std::string::npos) return "the path holds a zero byte";
    size_t slash = path_.rfind('/');
    name_ = path_.substr(slash + 1);
    if (name_.empty() || name_ == "." || name_ == "..") return "the path names no file";
    return "";
  }

  std::string open_folder() {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_NO_SYMLINKS;
    std::string folder = path_.substr(0, path_.size() - name_.size());
    folder_ =
        Fd(static_cast<int>(syscall(SYS_openat2, AT_FDCWD, folder.c_str(), &how, sizeof(how))));
    struct stat status{};
    if (!folder_ || fstat(folder_.get(), &status) != 0)
      return errno == ELOOP ? "a symbolic link is on the way" : std::strerror(errno);
    if (status.st_uid != geteuid() && status.st_uid != 0)
      return fmt::format("its folder belongs to user {}", status.st_uid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return "others may write to its folder";
    return "";
  }

  // Removes a socket of ours that nobody listens on.
  std::string clear_way() {
    Fd there(openat(folder_.get(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!there) return errno == ENOENT ? "" : std::strerror(errno);
    struct stat status{};
    if (fstat(there.get(), &status) != 0) return std::strerror(errno);
    if (!S_ISSOCK(status.st_mode)) return "what is there is no socket";
    if (status.st_uid != geteuid())
      return fmt::format("the socket there belongs to user {}", status.st_uid);
    Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address = address_of(path_of(there));
    if (!client ||
        connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ||
        errno != ECONNREFUSED)
      return "the socket there is in use";
    return unlinkat(folder_.get(), name_.c_str(), 0) == 0 ? "" : std::strerror(errno);
  }

  // Nobody can connect before listen(), and until then it has its rights.
  std::string bind_socket(std::optional<gid_t> group) {
    socket_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) return std::strerror(errno);
    sockaddr_un address = address_of(path_);
    mode_t before = umask(0777 & ~(S_IRUSR | S_IWUSR));
    int bound = bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    int error = errno;
    umask(before);
    if (bound != 0) return std::strerror(error);
    // By the folder that was looked at: the path may lead elsewhere by now.
    Fd file(openat(folder_.get(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!file || fstat(file.get(), &status) != 0) return std::strerror(errno);
    if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
      return "somebody else made a file there meanwhile";
    made_ = status;
    if (group && fchownat(file.get(), "", static_cast<uid_t>(-1), *group, AT_EMPTY_PATH) != 0)
      return fmt::format("cannot give it to group {}: {}", *group, std::strerror(errno));
    if (chmod(path_of(file).c_str(), kMode) != 0 || listen(socket_.get(), kBacklog) != 0)
      return std::strerror(errno);
    return "";
  }

  void remove_ours() {
    if (made_.st_ino != 0) unlinkat(folder_.get(), name_.c_str(), 0);
  }

  std::string path_;
  std::string name_;
  Fd folder_;
  Fd socket_;
  struct stat made_{};
};

SocketFile::~SocketFile() {
  struct stat status{};
  if (folder_ && fstatat(folder_.get(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      status.st_dev == device_ && status.st_ino == inode_)
    unlinkat(folder_.get(), name_.c_str(), 0);
}

Result<LocalListener> listen_locally(const std::string& path, const std::string& group) {
  return SocketMaker(path).make(group);
}

}  // namespace loopsight
