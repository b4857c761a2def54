// The table of system calls against the running kernel's own list, which tracefs shows: a call that
// takes a path or a descriptor has a kind, so that a wait in it is not of no cause.
#include "bpf/syscall_kinds.h"

#include <gtest/gtest.h>
#include <seccomp.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

constexpr std::array<unsigned char, LS_SYSCALL_KINDS> make_table() {
  std::array<unsigned char, LS_SYSCALL_KINDS> table{};
#define LS_CALL(number, kind) table[number] = kind;
#include "bpf/syscall_list.h"
#undef LS_CALL
  return table;
}
constexpr auto ls_syscall_kinds = make_table();

// They take descriptors or texts, but never wait for what those stand for.
const std::set<std::string> kNeverWait = {
    "add_key", "fsopen", "getcwd",          "getrandom",   "memfd_create",  "mincore",
    "pipe",    "pipe2",  "perf_event_open", "request_key", "setdomainname", "sethostname",
    "shmat",   "shmdt",  "syslog",          "bpf"};

std::string number_name(std::string name) {
  // The names of the tracepoints are those of the functions.
  if (name == "sendfile64") return "sendfile";
  if (name == "newstat" || name == "newlstat" || name == "newfstat") return name.substr(3);
  if (name == "umount") return "umount2";
  return name;
}

TEST(SyscallKinds, KnowsEachCallThatTakesAPathOrADescriptor) {
  fs::path root = "/sys/kernel/tracing/events/syscalls";
  std::error_code error;
  if (!fs::exists(root, error)) GTEST_SKIP() << "no " << root << " (tracefs is not mounted)";
  std::regex argument(R"(field:([^;]*?)(\w+);\s*offset:(\d+))");
  std::regex descriptor(R"((.*fd|.*_fd|fd_.*|fildes|oldfd|pidfd|fdin))");
  int seen = 0;
  for (const auto& folder : fs::directory_iterator(root)) {
    std::string event = folder.path().filename();
    if (!event.starts_with("sys_enter_")) continue;
    std::string name = event.substr(10);
    std::ifstream file(folder.path() / "format");
    bool concerns = false;
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, argument) || std::stoi(match[3]) < 16) continue;
      std::string type = match[1], field = match[2];
      bool is_path = type.find("char *") != std::string::npos && field != "buf" &&
                     field != "ubuf" && field != "optval" && field != "u_msg_ptr";
      concerns |=
          is_path || (type.find('*') == std::string::npos && std::regex_match(field, descriptor));
    }
    if (!concerns || kNeverWait.contains(name)) continue;
    int number = seccomp_syscall_resolve_name(number_name(name).c_str());
    if (number < 0) continue;  // newer than the library
    ASSERT_LT(number, LS_SYSCALL_KINDS) << name;
    EXPECT_NE(ls_syscall_kinds[number], LS_WAIT_OTHER) << name << " (" << number << ")";
    seen++;
  }
  EXPECT_GT(seen, 100);
}

TEST(SyscallKinds, SaysWhichArgumentIsThePath) {
  EXPECT_EQ(ls_syscall_kinds[__NR_openat], LS_WAIT_PATH_SECOND);
  EXPECT_EQ(ls_syscall_kinds[__NR_open], LS_WAIT_PATH);
  EXPECT_EQ(ls_syscall_kinds[__NR_fchmod], LS_WAIT_FD);
  EXPECT_EQ(ls_syscall_kinds[__NR_getpid], LS_WAIT_OTHER);
}

}  // namespace
