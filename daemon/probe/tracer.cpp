#include "daemon/probe/tracer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <map>
#include <numeric>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/fd.h"
#include "daemon/base/text.h"
#include "daemon/probe/features.h"
#include "daemon/probe/privileges.h"
#include "daemon/probe/tracer_state.h"

namespace loopsight {
namespace {

constexpr ino_t kInitPidNamespace = 0xEFFFFFFC;   // PROC_PID_INIT_INO in include/linux/proc_ns.h
constexpr ino_t kInitTimeNamespace = 0xEFFFFFFA;  // PROC_TIME_INIT_INO

std::string& libbpf_complaint() {
  static std::string last;
  return last;
}

// Keeps the last warning, for the one line that the user gets; a C callback, so nothing may throw.
int keep_complaint(libbpf_print_level level, const char* format, va_list args) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> buffer{};
  vsnprintf(buffer.data(), buffer.size(), format, args);
  std::string_view text(buffer.data());
  if (text.find("-- BEGIN PROG LOAD LOG --") == std::string_view::npos && text.size() > 1 &&
      text.find("failed to load object") == std::string_view::npos &&
      text.find("failed to load BPF skeleton") == std::string_view::npos)
    libbpf_complaint() = clean_text(text.substr(0, text.find('\n')), 300);
  return 0;
}

bool is_required(std::string_view probe) {
  return probe == "sched_switch" || probe.starts_with("process_") ||
         probe.starts_with("epoll_wait_") || probe.starts_with("epoll_pwait_");
}

// Attached to what user space chooses, not to one place of the kernel.
bool is_attached_later(std::string_view name) {
  return name == "cpu_sample" || name == "gc_probe" || name == "import_probe" ||
         name == "audit_probe" || name == "function_probe" || name == "mapped_file" ||
         name == "adopt_thread" || name.starts_with("waker_");
}

// The one line for a kernel that lacks what we cannot do without; "" where it has all of it.
std::string what_is_missing() {
  auto features = probe_features();
  for (const Feature& feature : features)
    if (feature.required && !feature.ok)
      return fmt::format("cannot trace on Linux {}: {}: {}; {}", features[0].detail, feature.name,
                         feature.detail, feature.remedy);
  return "";
}

}  // namespace

Result<void> can_trace() {
  if (auto rights = check_rights(); !rights) return rights;
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
    return failure(
        "cannot read /sys/kernel/btf/vmlinux: this kernel has no type information; use one built "
        "with CONFIG_DEBUG_INFO_BTF, as Debian 12's is");
  struct stat status{};
  if (stat("/proc/self/ns/pid", &status) == 0 && status.st_ino != kInitPidNamespace)
    return failure(
        "cannot match pids: running inside a PID namespace; start it in the host's (docker run "
        "--pid=host, hostPID: true)");
  // The kernel's times are those of the initial one.
  if (stat("/proc/self/ns/time", &status) == 0 && status.st_ino != kInitTimeNamespace)
    return failure(
        "cannot match times: running inside a time namespace; start it in the host's (without "
        "'unshare --time')");
  return {};
}

Tracer::Tracer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tracer::Tracer(Tracer&&) noexcept = default;
Tracer& Tracer::operator=(Tracer&&) noexcept = default;
Tracer::~Tracer() = default;

Result<Tracer> Tracer::open(const TracerOptions& options) {
  if (auto ground = can_trace(); !ground) return tl::make_unexpected(ground.error());
  libbpf_set_print(keep_complaint);
  libbpf_complaint().clear();
  auto state = std::make_unique<State>();
  state->skeleton = loopsight_bpf__open();
  if (!state->skeleton)
    return failure(fmt::format("cannot open the BPF object: {}", std::strerror(errno)));
  loopsight_bpf* skeleton = state->skeleton;
  skeleton->rodata->threshold_ns = options.threshold_ns;
  skeleton->rodata->listed_only = options.listed_only;
  skeleton->rodata->count_functions = options.count_functions;
  skeleton->rodata->has_prev_state = sched_switch_has_prev_state();
  TableSizes tables = options.tables;
  // Counting functions takes twice as much for a row as all the rest.
  if (options.count_functions && tables.loops == 0) tables.loops = LS_LEAST_LOOPS;
  state->sizes = size_tables(tables);
  state->configure_tables(options.charge_records);
  if (!options.count_functions) bpf_map__set_max_entries(skeleton->maps.functions, 1);
  bool multi = has_multi_links();
  for (bpf_program* probe : {skeleton->progs.gc_probe, skeleton->progs.import_probe,
                             skeleton->progs.audit_probe, skeleton->progs.function_probe})
    if (multi) use_multi_links(probe);
  // The callback of epoll shows every kind of descriptor, the tracepoint sockets only.
  bool callback =
      options.exact_delays && options.allow_fentry && can_attach_fentry("ep_poll_callback");
  bool socket = options.exact_delays && !callback && can_attach_tracepoint("sk_data_ready");
  skeleton->rodata->exact_delays = callback || socket;
  if (!skeleton->rodata->exact_delays) bpf_map__set_max_entries(skeleton->maps.arrivals, 64);

  if (options.allow_fentry)
    state->by_function = calls_by_function(
        [](const std::string& function) { return can_attach_fentry(function.c_str()); });
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    std::string_view name = bpf_program__name(program);
    bool wanted = !attach_points(name, state->by_function).empty();
    if (name == "cpu_tick")
      wanted = options.allow_tick && ticks_are_timers();
    else if (name == "survey_thread")
      wanted = false;  // ThreadSurvey's
    else if (name == "function_probe")
      wanted = options.count_functions;
    else if (name == "delays_epoll")
      wanted = callback;
    else if (name == "delays_socket")
      wanted = socket;
    bpf_program__set_autoload(program, wanted);
  }
  if (int error = loopsight_bpf__load(skeleton); error != 0) {
    std::string complaint = libbpf_complaint();
    if (auto missing = what_is_missing(); !missing.empty()) return failure(missing);
    return failure(
        fmt::format("the kernel refuses the BPF programs: {} ({}); 'loopsight check' says "
                    "what is missing",
                    std::strerror(-error), complaint));
  }

  if (auto mapped = state->map_tables(); !mapped) return tl::make_unexpected(mapped.error());
  state->ring =
      ring_buffer__new(bpf_map__fd(skeleton->maps.records), State::handle, state.get(), nullptr);
  if (!state->ring)
    return failure(fmt::format("cannot map the ring buffer: {}", std::strerror(errno)));
  state->sites = std::make_unique<SiteLinks>(bpf_map__fd(skeleton->maps.probe_specs), multi);
  if (options.measure_cost) {
    state->statistics = Fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    state->sampler.emplace(state->program_sums(), monotonic_now_ns());
  }
  return Tracer(std::move(state));
}

Result<void> Tracer::attach() {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, state_->skeleton->obj) {
    if (!bpf_program__autoload(program)) continue;
    std::string name = bpf_program__name(program);
    if (is_attached_later(name)) continue;
    for (const AttachPoint& point : attach_points(name, state_->by_function))
      if (auto attached = state_->attach(program, point); !attached) return attached;
  }
  return {};
}

Result<void> Tracer::State::attach(bpf_program* program, const AttachPoint& point) {
  libbpf_complaint().clear();
  bpf_link* link = point.tracepoint.empty() ? bpf_program__attach(program)
                                            : bpf_program__attach_tracepoint(
                                                  program, "syscalls", point.tracepoint.c_str());
  if (link) {
    links.push_back(link);
    probes.push_back({.name = point.name, .attached = true, .why_not = ""});
    if (point.name == "cpu_tick") samples_by_tick = true;
    return {};
  }
  std::string why = libbpf_complaint().empty() ? std::strerror(errno) : libbpf_complaint();
  if (is_required(point.name)) {
    bool no_tracefs = access("/sys/kernel/tracing/events", R_OK) != 0 &&
                      access("/sys/kernel/debug/tracing/events", R_OK) != 0;
    return failure(fmt::format("cannot attach probe {}: {}; {}", point.name, why,
                               no_tracefs ? "mount -t tracefs tracefs /sys/kernel/tracing"
                                          : "'loopsight check' says what is missing"));
  }
  probes.push_back({.name = point.name, .attached = false, .why_not = why});
  return {};
}

Result<void> Tracer::poll(int timeout_ms,
                          const std::function<void(std::span<const std::byte>)>& on_record,
                          const std::function<bool()>& is_enough) {
  state_->on_record = &on_record;
  state_->is_enough = &is_enough;
  int result = ring_buffer__poll(state_->ring, timeout_ms);
  state_->on_record = nullptr;
  state_->is_enough = nullptr;
  if (result < 0 && result != -EINTR && result != State::kEnough)
    return failure(fmt::format("cannot read the ring buffer: {}", std::strerror(-result)));
  return {};
}

int Tracer::poll_fd() const { return ring_buffer__epoll_fd(state_->ring); }

std::set<uint32_t> Tracer::listed_processes() const {
  std::set<uint32_t> found;
  for (const bpf_map* map : {state_->skeleton->maps.processes, state_->skeleton->maps.pythons}) {
    uint32_t key = 0;
    const void* previous = nullptr;
    // The kernel side changes it meanwhile, so it may begin anew: not for ever.
    for (size_t i = 0; i < 2 * size_t{state_->sizes.processes}; i++) {
      if (bpf_map_get_next_key(bpf_map__fd(map), previous, &key) != 0) break;
      found.insert(key);
      previous = &key;
    }
  }
  return found;
}

void Tracer::set_python(uint32_t tgid, const ls_python& python) {
  bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.pythons), &tgid, &python, BPF_ANY);
}

uint64_t Tracer::counter(ls_counter counter) const {
  std::vector<uint64_t> per_cpu(static_cast<size_t>(std::max(libbpf_num_possible_cpus(), 1)));
  __u32 key = counter;
  if (bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.counters), &key, per_cpu.data()) != 0)
    return 0;
  return std::accumulate(per_cpu.begin(), per_cpu.end(), uint64_t{0});
}

std::vector<uint64_t> Tracer::counters() const {
  std::vector<uint64_t> sums(LS_COUNTERS);
  for (uint32_t i = 0; i < LS_COUNTERS; i++) sums[i] = counter(static_cast<ls_counter>(i));
  return sums;
}

std::vector<ProbeStatus> Tracer::probes() const { return state_->probes; }

std::vector<ProgramCost> Tracer::State::program_sums() const {
  std::vector<ProgramCost> sums;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    if (!bpf_program__autoload(program)) continue;
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0) continue;
    sums.push_back({.name = bpf_program__name(program),
                    .runs = info.run_cnt,
                    .run_time_ns = info.run_time_ns});
  }
  return sums;
}

std::vector<ProgramCost> Tracer::costs() const {
  if (state_->sampler && !state_->sampler->is_open()) return state_->sampler->costs();
  auto sums = state_->program_sums();
  return state_->sampler ? state_->sampler->costs(sums) : sums;
}

void Tracer::sample_costs(uint64_t now_ns) {
  auto& sampler = state_->sampler;
  if (!sampler || !sampler->is_due(now_ns)) return;
  sampler->turn(state_->program_sums(), now_ns);
  state_->statistics = Fd(sampler->is_open() ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1);
}

}  // namespace loopsight
