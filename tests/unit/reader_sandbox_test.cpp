#include "daemon/host/reader_sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <new>
#include <string>

#include "daemon/base/fd.h"

namespace loopsight {
namespace {

// What a child gives back that does `work` inside.
int inside(const std::function<int()>& work) {
  pid_t child = fork();
  if (child == 0) _exit(enter_reader_sandbox() ? work() : 99);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool is_there(const std::string& path) { return std::filesystem::exists(path); }

TEST(ReaderSandbox, WritesNothingAndStartsNothing) {
  std::string path = std::filesystem::temp_directory_path() / "loopsight-sandbox-test";
  pid_t parent = getpid();
  EXPECT_EQ(inside([&] {
              if (open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0) return 1;
              if (open("/dev/null", O_RDWR | O_CLOEXEC) >= 0) return 2;
              if (mkdir(path.c_str(), 0700) == 0) return 3;
              if (symlink("/", path.c_str()) == 0) return 4;
              execl("/bin/true", "true", nullptr);
              if (socket(AF_INET, SOCK_STREAM, 0) >= 0) return 5;
              if (kill(parent, 0) == 0) return 6;
              void* code =
                  mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              if (code != MAP_FAILED) return 7;
              if (syscall(SYS_unshare, 0x10000000) == 0) return 8;
              if (syscall(SYS_ptrace, 16, parent, 0, 0) == 0) return 9;
              if (syscall(SYS_setfsuid, 0) != -1) return 10;
              int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
              return file >= 0 ? 42 : 11;
            }),
            42);
  EXPECT_FALSE(is_there(path));
}

TEST(ReaderSandbox, HasLittleMemory) {
  int limit = inside([] {
    try {
      std::string large(1 << 28, 'x');
      return static_cast<int>(large[7]);
    } catch (const std::bad_alloc&) {
      return 42;
    }
  });
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  EXPECT_EQ(limit, 'x');
#else
  EXPECT_EQ(limit, 42);
#endif
}

TEST(ReaderSandbox, WhoHasBecomeAUserStaysIt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  auto stays = [](const FileUser& user) {
    return inside([&] {
      if (!become(user)) return 1;
      if (user.user != 0 && syscall(SYS_setresuid, 0, 0, 0) == 0) return 3;
      if (user.user == 0 && syscall(SYS_setresuid, 1, 1, 1) == 0) return 4;
      gid_t more = 0;
      if (syscall(SYS_setgroups, 1, &more) == 0) return 5;
      if (open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0 && user.user != 0) return 6;
      return 42;
    });
  };
  EXPECT_EQ(stays({.user = 65534, .group = 65534}), 42);
  EXPECT_EQ(stays({.user = 65534, .group = 65534, .groups = {4, 24}}), 42);
  EXPECT_EQ(stays({.user = 0, .group = 0}), 42);
  EXPECT_EQ(stays({.user = 0, .group = 0, .groups = {}, .reads_all = true}), 42);
}

}  // namespace
}  // namespace loopsight
