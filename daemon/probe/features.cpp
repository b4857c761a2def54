#include "daemon/probe/features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/probe/privileges.h"

namespace loopsight {
namespace {

constexpr const char* kBtf = "/sys/kernel/btf/vmlinux";

// r0 = 0; exit
const std::array<bpf_insn, 2> kReturnZero = {{
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
}};

std::string errno_text(int error) { return std::strerror(error); }

// 0 on success, else the errno.
int try_tracing(const char* name, bpf_attach_type type) {
  int id = libbpf_find_vmlinux_btf_id(name, type);
  if (id <= 0) return ENOENT;
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type,
              .attach_btf_id = static_cast<__u32>(id));
  Fd program(bpf_prog_load(BPF_PROG_TYPE_TRACING, "ls_probe", "Dual BSD/GPL", kReturnZero.data(),
                           kReturnZero.size(), &options));
  if (!program) return errno;
  Fd link(bpf_raw_tracepoint_open(nullptr, program.get()));
  return link ? 0 : errno;
}

bool tracefs_has(const char* event) {
  for (const char* root : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    std::string path = fmt::format("{}/events/{}/id", root, event);
    if (access(path.c_str(), R_OK) == 0) return true;
  }
  return false;
}

int try_map(bpf_map_type type, __u32 key, __u32 value, __u32 entries) {
  LIBBPF_OPTS(bpf_map_create_opts, options);
  Fd map(bpf_map_create(type, "ls_probe", key, value, entries, &options));
  return map ? 0 : errno;
}

Feature tracing_feature(const char* name, const char* event, const char* use) {
  int error = try_tracing(event, BPF_TRACE_RAW_TP);
  Feature feature{.name = name, .ok = error == 0, .required = true, .detail = use, .remedy = ""};
  if (error != 0) {
    feature.detail = fmt::format("{}: {}", use, errno_text(error));
    feature.remedy = error == EPERM
                         ? "run as root (or with CAP_BPF and CAP_PERFMON)"
                         : "use a kernel built with CONFIG_DEBUG_INFO_BTF, 5.15 or newer";
  }
  return feature;
}

}  // namespace

bool can_attach_fentry(const char* function) {
  return try_tracing(function, BPF_TRACE_FENTRY) == 0;
}

bool can_attach_tracepoint(const char* event) { return try_tracing(event, BPF_TRACE_RAW_TP) == 0; }

bool ticks_are_timers() {
  // Without high-resolution timers the resolution is a tick (kernel/time/hrtimer.c).
  timespec resolution{};
  if (clock_getres(CLOCK_MONOTONIC, &resolution) != 0 || resolution.tv_sec != 0 ||
      resolution.tv_nsec != 1)
    return false;
  // CPUs of nohz_full= have no tick while only one thread runs there. "(null)" or nothing: none.
  std::ifstream file("/sys/devices/system/cpu/nohz_full");
  std::string cpus;
  std::getline(file, cpus);
  if (cpus.find_first_of("0123456789") != std::string::npos) return false;
  return can_attach_tracepoint("hrtimer_expire_entry");
}

bool sched_switch_has_prev_state() {
  btf* kernel = btf__load_vmlinux_btf();
  if (!kernel) return true;
  int id = btf__find_by_name_kind(kernel, "btf_trace_sched_switch", BTF_KIND_TYPEDEF);
  const btf_type* type = id > 0 ? btf__type_by_id(kernel, static_cast<__u32>(id)) : nullptr;
  while (type && (btf_is_typedef(type) || btf_is_ptr(type)))
    type = btf__type_by_id(kernel, type->type);
  // (void *data, bool preempt, prev, next[, prev_state])
  bool result = type && btf_is_func_proto(type) && btf_vlen(type) >= 5;
  btf__free(kernel);
  return result;
}

std::vector<Feature> probe_features() {
  std::vector<Feature> features;
  utsname kernel{};
  uname(&kernel);
  features.push_back({.name = "kernel",
                      .ok = true,
                      .required = false,
                      .detail = fmt::format("{} {}", kernel.release, kernel.machine),
                      .remedy = ""});
  bool rights = may_trace();
  features.push_back({.name = "rights",
                      .ok = rights,
                      .required = true,
                      .detail = geteuid() == 0 ? "root"
                                : rights       ? "CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN"
                                               : "not root: BPF programs cannot be loaded",
                      .remedy = rights ? "" : "run it with sudo"});
  bool btf = access(kBtf, R_OK) == 0;
  features.push_back(
      {.name = "BTF",
       .ok = btf,
       .required = true,
       .detail = btf ? kBtf : fmt::format("{}: {}", kBtf, errno_text(errno)),
       .remedy = btf ? "" : "use a kernel built with CONFIG_DEBUG_INFO_BTF (Debian 12's is)"});
  int ring = try_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
  features.push_back({.name = "ring buffer",
                      .ok = ring == 0,
                      .required = true,
                      .detail = ring == 0 ? "records to user space" : errno_text(ring),
                      .remedy = ring == 0       ? ""
                                : ring == EPERM ? "run as root (or with CAP_BPF)"
                                                : "use Linux 5.15 or newer"});
  bool storage = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, nullptr) == 1;
  features.push_back({.name = "task storage",
                      .ok = storage,
                      .required = true,
                      .detail = storage  ? "what is known of each thread"
                                : rights ? "this kernel has none"
                                         : errno_text(EPERM),
                      .remedy = storage  ? ""
                                : rights ? "use Linux 5.15 or newer"
                                         : "run as root (or with CAP_BPF)"});
  features.push_back(tracing_feature("sched_switch", "sched_switch", "the split by cause"));
  features.push_back(
      tracing_feature("process tracepoints", "sched_process_exec", "starts, forks and exits"));
  bool fentry = can_attach_fentry("__x64_sys_epoll_wait");
  features.push_back(
      {.name = "fentry",
       .ok = fentry,
       .required = false,
       .detail =
           fentry ? "poll calls at no cost to other system calls"
                  : fmt::format("refused ({}); per-syscall tracepoints are used instead",
                                errno_text(try_tracing("__x64_sys_epoll_wait", BPF_TRACE_FENTRY))),
       .remedy = ""});
  bool syscalls = tracefs_has("syscalls/sys_enter_epoll_wait");
  features.push_back({.name = "syscall tracepoints",
                      .ok = syscalls,
                      .required = !fentry,
                      .detail = syscalls ? "entries into and returns from poll calls"
                                         : "no syscalls/sys_enter_epoll_wait in tracefs",
                      .remedy = syscalls ? ""
                                         : "mount -t tracefs tracefs /sys/kernel/tracing (needs "
                                           "CONFIG_FTRACE_SYSCALLS)"});
  bool callback = can_attach_fentry("ep_poll_callback");
  bool ready = callback || can_attach_tracepoint("sk_data_ready");
  features.push_back({.name = "exact delays",
                      .ok = ready,
                      .required = false,
                      .detail = callback ? "when each descriptor becomes ready, from epoll itself"
                                : ready  ? "when each socket becomes ready, from its tracepoint"
                                         : "neither fentry on ep_poll_callback nor the tracepoint "
                                           "sk_data_ready: delayed events have bounds only",
                      .remedy = ready ? "" : "use Linux 6.3 or newer"});
  bool schedstat = access("/proc/self/schedstat", R_OK) == 0;
  features.push_back(
      {.name = "run-queue time",
       .ok = schedstat,
       .required = false,
       .detail = schedstat
                     ? "from the scheduler's own sums"
                     : "no /proc/self/schedstat: waiting for a CPU counts as the wait's cause",
       .remedy = schedstat ? "" : "use a kernel built with CONFIG_SCHED_INFO"});
  return features;
}

}  // namespace loopsight
