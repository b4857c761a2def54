#include "daemon/host/reader_sandbox.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <memory>

namespace loopsight {
namespace {

tl::unexpected<Error> cannot(const char* what) {
  return failure(
      fmt::format("the reader of source files cannot {}: {}", what, std::strerror(errno)));
}

Result<void> keep_capabilities() {
  if (capng_get_caps_process() != 0) return failure("cannot read our own capabilities");
  bool may_set_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  std::array<unsigned, 3> kept = {CAP_SETUID, CAP_SETGID, CAP_DAC_READ_SEARCH};
  auto had = std::remove_if(kept.begin(), kept.end(), [](unsigned one) {
    return capng_have_capability(CAPNG_EFFECTIVE, one) == 0;
  });
  capng_clear(may_set_bounds ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
  for (auto one = kept.begin(); one != had; ++one)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), *one);
  if (capng_apply(may_set_bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0)
    return cannot("give up capabilities");
  return {};
}

Result<void> limit_resources() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  constexpr uint64_t kMoreBytes = 64 << 20;
  uint64_t bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + kMoreBytes;
  struct Limit {
    decltype(RLIMIT_AS) what;
    uint64_t value;
  };
  const Limit limits[] = {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
      {RLIMIT_AS, bytes},  // sanitizers reserve terabytes
#endif
      {RLIMIT_NOFILE, 256}, {RLIMIT_FSIZE, 0}, {RLIMIT_CORE, 0}, {RLIMIT_MEMLOCK, 0},
  };
  for (const auto& [what, value] : limits) {
    rlimit limit{};
    if (getrlimit(what, &limit) != 0) return cannot("read its limits");
    limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(limit.rlim_max, value);
    if (setrlimit(what, &limit) != 0) return cannot("limit itself");
  }
  return {};
}

// Every right to change a file that the kernel knows is handled and given for no folder. Rights to
// read are not handled: what may be read is the user's affair, and files of other mount namespaces
// lie below no folder that could be named here.
Result<void> forbid_writing() {
  constexpr long kVersionFlag = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionFlag);
  if (version < 1) return {};  // the kernel has none, or it is turned off
  // linux/landlock.h of Debian 12 knows the first three versions.
  struct {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
  } handled = {.files = 0x1FF3, .network = 0, .scoped = 0};  // all of version 1 but to read
  if (version >= 2) handled.files |= 1U << 13;               // REFER
  if (version >= 3) handled.files |= 1U << 14;               // TRUNCATE
  if (version >= 5) handled.files |= 1U << 15;               // IOCTL_DEV
  if (version >= 4) handled.network = 3;                     // bind and connect
  if (version >= 6) handled.scoped = 3;                      // abstract sockets, signals
  size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  auto ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled, size, 0));
  if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
    return cannot("take back its right to write");
  close(ruleset);
  return {};
}

Result<void> filter_system_calls() {
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                          seccomp_release);
  if (!filter) return failure("the reader of source files cannot make a filter");
  constexpr int kCalls[] = {SCMP_SYS(recvmsg),         SCMP_SYS(sendmsg),
                            SCMP_SYS(socketpair),      SCMP_SYS(poll),
                            SCMP_SYS(ppoll),           SCMP_SYS(read),
                            SCMP_SYS(close),           SCMP_SYS(fstat),
                            SCMP_SYS(newfstatat),      SCMP_SYS(statx),
                            SCMP_SYS(fstatfs),         SCMP_SYS(readlinkat),
                            SCMP_SYS(wait4),           SCMP_SYS(waitid),
                            SCMP_SYS(alarm),           SCMP_SYS(setitimer),
                            SCMP_SYS(setresuid),       SCMP_SYS(setresgid),
                            SCMP_SYS(setgroups),       SCMP_SYS(getgroups),
                            SCMP_SYS(getresuid),       SCMP_SYS(getresgid),
                            SCMP_SYS(capset),          SCMP_SYS(capget),
                            SCMP_SYS(rt_sigaction),    SCMP_SYS(rt_sigprocmask),
                            SCMP_SYS(rt_sigreturn),    SCMP_SYS(exit),
                            SCMP_SYS(exit_group),      SCMP_SYS(brk),
                            SCMP_SYS(munmap),          SCMP_SYS(mremap),
                            SCMP_SYS(madvise),         SCMP_SYS(futex),
                            SCMP_SYS(getpid),          SCMP_SYS(gettid),
                            SCMP_SYS(clock_gettime),   SCMP_SYS(nanosleep),
                            SCMP_SYS(clock_nanosleep), SCMP_SYS(getrandom),
                            SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
                            SCMP_SYS(restart_syscall), SCMP_SYS(sigaltstack)};
  int failed = 0;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // By these a sanitizer asks whether memory is there, and says what it found.
  for (int call : {SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(write)})
    failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
#endif
  for (int call : kCalls) failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  constexpr uint64_t kWrites =
      O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
  constexpr uint64_t kForks = CSIGNAL | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, kWrites, O_RDONLY));
  failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, ~kForks & UINT32_MAX, 0));
  for (int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)})
    failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  failed |= seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (failed != 0 || seccomp_load(filter.get()) != 0)
    return failure("the reader of source files cannot filter its system calls");
  return {};
}

// DAC_READ_SEARCH where it is asked for and to be had, and no other. By the system calls: the
// library would look into /proc first.
bool set_capabilities(bool reads_all) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (syscall(SYS_capget, &header, sets.data()) != 0) return false;
  uint32_t kept = reads_all ? sets[0].permitted & 1U << CAP_DAC_READ_SEARCH : 0;
  sets = {};
  sets[0].effective = sets[0].permitted = kept;
  return syscall(SYS_capset, &header, sets.data()) == 0;
}

}  // namespace

Result<void> enter_reader_sandbox() {
  // No debugger of the same user, no core, and no capability by a program that it cannot start
  // anyway.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return cannot("take back its rights");
  for (auto step : {limit_resources, keep_capabilities, forbid_writing, filter_system_calls})
    if (auto done = step(); !done) return done;
  return {};
}

bool become(const FileUser& user) {
  // What libc's functions of these names do for all threads is one system call here.
  std::vector<gid_t> groups(user.groups.begin(), user.groups.end());
  std::sort(groups.begin(), groups.end());
  if (syscall(SYS_setgroups, groups.size(), groups.data()) != 0) {
    // Without CAP_SETGID: only where they are ours already.
    std::vector<gid_t> ours(kMaxReaderGroups);
    int count = getgroups(static_cast<int>(ours.size()), ours.data());
    ours.resize(static_cast<size_t>(std::max(count, 0)));
    std::sort(ours.begin(), ours.end());
    if (count < 0 || ours != groups) return false;
  }
  if (syscall(SYS_setresgid, user.group, user.group, user.group) != 0 ||
      syscall(SYS_setresuid, user.user, user.user, user.user) != 0)
    return false;
  if (!set_capabilities(user.reads_all && user.user == 0)) return false;
  uid_t real_user = 0;
  uid_t effective_user = 0;
  uid_t saved_user = 0;
  gid_t real_group = 0;
  gid_t effective_group = 0;
  gid_t saved_group = 0;
  return getresuid(&real_user, &effective_user, &saved_user) == 0 &&
         getresgid(&real_group, &effective_group, &saved_group) == 0 && real_user == user.user &&
         effective_user == user.user && saved_user == user.user && real_group == user.group &&
         effective_group == user.group && saved_group == user.group;
}

}  // namespace loopsight
