#include "daemon/live/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

// 0 where `command` can be run, else the errno that exec would give.
int check_command(const std::string& command) {
  auto check = [](const std::string& path) {
    struct stat status{};
    if (stat(path.c_str(), &status) != 0) return errno;
    if (S_ISDIR(status.st_mode)) return EACCES;
    return access(path.c_str(), X_OK) == 0 ? 0 : errno;
  };
  if (command.find('/') != std::string::npos) return check(command);
  const char* variable = std::getenv("PATH");
  std::string_view path = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
  int error = ENOENT;
  while (true) {
    size_t colon = path.find(':');
    std::string directory(path.substr(0, colon));
    int one = check((directory.empty() ? "." : directory) + "/" + command);
    if (one == 0) return 0;
    if (one == EACCES) error = one;
    if (colon == std::string_view::npos) return error;
    path.remove_prefix(colon + 1);
  }
}

tl::unexpected<Error> cannot_run(const std::string& name, int error) {
  const char* remedy = error == ENOENT   ? "give the path of a program that exists"
                       : error == EACCES ? "make it executable, or start it by its interpreter"
                                         : "try to start it without loopsight";
  return failure(
      fmt::format("cannot run {}: {}; {}", clean_text(name, 200), std::strerror(error), remedy));
}

// In the child: false where it is not that user now.
bool become(const RunAs& user) {
  int groups =
      user.name.empty() ? setgroups(1, &user.group) : initgroups(user.name.c_str(), user.group);
  if (groups != 0 || setresgid(user.group, user.group, user.group) != 0 ||
      setresuid(user.user, user.user, user.user) != 0)
    return false;
  if (!user.home.empty()) setenv("HOME", user.home.c_str(), 1);
  for (const char* variable : {"USER", "LOGNAME"})
    if (!user.name.empty()) setenv(variable, user.name.c_str(), 1);
  return true;
}

}  // namespace

Result<Child> Child::fork(const std::vector<std::string>& command,
                          const std::optional<RunAs>& user) {
  if (int error = check_command(command.at(0)); error != 0) return cannot_run(command[0], error);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> go{};
  std::array<int, 2> failed{};
  if (pipe2(go.data(), O_CLOEXEC) != 0 || pipe2(failed.data(), O_CLOEXEC) != 0)
    return failure(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  pid_t pid = ::fork();
  if (pid == 0) {
    close(go[1]);
    char byte = 0;
    ssize_t got = 0;
    sigprocmask(SIG_SETMASK, &before, nullptr);
    do got = read(go[0], &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got == 1 && (!user || become(*user))) execvp(arguments[0], arguments.data());
    int error = got == 1 ? errno : ECANCELED;
    [[maybe_unused]] ssize_t written = write(failed[1], &error, sizeof(error));
    _exit(127);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(go[0]);
  close(failed[1]);
  Fd go_fd(go[1]);
  Fd failed_fd(failed[0]);
  if (pid < 0) return failure(fmt::format("cannot start a process: {}", std::strerror(errno)));
  return Child(pid, command[0], std::move(go_fd), std::move(failed_fd));
}

Child::~Child() {
  if (!go_ || started_) return;
  go_.reset();  // the child reads the end of the pipe and exits
  waitpid(pid_, nullptr, 0);
}

Result<void> Child::start() {
  started_ = true;
  if (write(go_.get(), "g", 1) != 1)
    return failure(fmt::format("{} ended before it started", clean_text(name_, 200)));
  int error = 0;
  ssize_t got = 0;
  do got = read(failed_.get(), &error, sizeof(error));
  while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof(error))) return {};
  waitpid(pid_, nullptr, 0);
  return cannot_run(name_, error);
}

void Child::signal(int number) const {
  if (!status_) kill(pid_, number);
}

std::optional<int> Child::reap() {
  int raw = 0;
  if (!status_ && waitpid(pid_, &raw, WNOHANG) == pid_)
    status_ = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
  return status_;
}

}  // namespace loopsight
