// The part of the tracer that deals with CPython's own probes.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "daemon/base/clock.h"
#include "daemon/probe/thread_iterator.h"
#include "daemon/probe/tracer_state.h"

namespace loopsight {
namespace {

bpf_program* program_of(loopsight_bpf* skeleton, ls_probe_group group) {
  switch (group) {
    case LS_GROUP_GC: return skeleton->progs.gc_probe;
    case LS_GROUP_IMPORTS: return skeleton->progs.import_probe;
    case LS_GROUP_AUDIT: return skeleton->progs.audit_probe;
    default: return skeleton->progs.function_probe;
  }
}

// A site like CPython's: one byte that does nothing.
__attribute__((noinline, used, aligned(16))) void own_site() { asm volatile("nop"); }

uint64_t time_of_calls(int count) {
  uint64_t start = monotonic_now_ns();
  for (int i = 0; i < count; i++) own_site();
  return monotonic_now_ns() - start;
}

// Where a function of ours is in our file.
uint64_t offset_in_file(uint64_t address) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  uint64_t result = 0;
  char line[512];
  while (maps && std::fgets(line, sizeof(line), maps)) {
    unsigned long start = 0;
    unsigned long end = 0;
    unsigned long offset = 0;
    if (std::sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) != 3) continue;
    if (address >= start && address < end) result = address - start + offset;
  }
  if (maps) std::fclose(maps);
  return result;
}

}  // namespace

void Tracer::tell_clocks() {
  if (!state_->skeleton->bss) return;
  auto now = static_cast<int64_t>(monotonic_now_ns());
  timespec real{};
  clock_gettime(CLOCK_REALTIME, &real);
  state_->skeleton->bss->realtime_offset_ns =
      static_cast<int64_t>(real.tv_sec) * 1'000'000'000 + real.tv_nsec - now;
}

bool Tracer::follows_wakers() const { return !state_->wakers.empty(); }

Result<void> Tracer::follow_wakers(bool on) {
  std::vector<bpf_link*>& links = state_->wakers;
  if (on == follows_wakers()) return {};
  if (on) {
    loopsight_bpf* skeleton = state_->skeleton;
    for (bpf_program* program : {skeleton->progs.waker_switch, skeleton->progs.waker_waking}) {
      bpf_link* link = bpf_program__attach(program);
      if (link) {
        links.push_back(link);
        continue;
      }
      std::string why = std::strerror(errno);
      (void)follow_wakers(false);
      return failure(fmt::format("cannot follow who wakes loops: {}", why));
    }
    return {};
  }
  for (bpf_link* link : links) bpf_link__destroy(link);
  links.clear();
  return {};
}

Result<uint32_t> Tracer::attach_sites(ls_probe_group group, int file,
                                      std::span<const ProbeSite> sites, uint32_t tgid) {
  return state_->sites->attach(program_of(state_->skeleton, group), file, sites, tgid);
}

void Tracer::detach_sites(std::span<const uint32_t> handles) { state_->sites->detach(handles); }

std::optional<ls_real_file> Tracer::real_file(uint32_t tgid, uint64_t start) {
  loopsight_bpf* skeleton = state_->skeleton;
  skeleton->bss->wanted_tgid = tgid;
  skeleton->bss->wanted_start = start;
  bpf_iter_link_info info{};
  info.task.pid = tgid;  // since Linux 6.1; before, every process is gone through
  LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
  bpf_link* link = bpf_program__attach_iter(skeleton->progs.mapped_file, &options);
  if (!link) link = bpf_program__attach_iter(skeleton->progs.mapped_file, nullptr);
  if (!link) return std::nullopt;
  Fd reading(bpf_iter_create(bpf_link__fd(link)));
  ls_real_file real{};
  ssize_t got = 0;
  while (reading && (got = ::read(reading.get(), &real, sizeof(real))) < 0) {
    if (errno != EAGAIN && errno != EINTR) break;
  }
  bpf_link__destroy(link);
  if (got != static_cast<ssize_t>(sizeof(real))) return std::nullopt;
  return real;
}

std::vector<ls_adopted> Tracer::adopt(uint32_t tgid,
                                      const std::map<uint64_t, ls_adoption>& threads) {
  loopsight_bpf* skeleton = state_->skeleton;
  int map = bpf_map__fd(skeleton->maps.adoptions);
  for (const auto& [pointer, adoption] : threads)
    bpf_map_update_elem(map, &pointer, &adoption, BPF_ANY);
  skeleton->bss->adopted_tgid = tgid;
  auto adopted = read_threads<ls_adopted>(skeleton->progs.adopt_thread, tgid);
  for (const auto& [pointer, adoption] : threads) bpf_map_delete_elem(map, &pointer);
  return adopted.value_or(std::vector<ls_adopted>());
}

void Tracer::set_audit_event(std::string_view name, uint32_t argument) {
  std::array<char, LS_EVENT_NAME_SIZE> key{};
  std::copy_n(name.begin(), std::min(name.size(), key.size() - 1), key.begin());
  ls_audit_event event{.argument = argument, .pad = 0};
  bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.audit_events), key.data(), &event,
                      BPF_ANY);
}

std::array<uint64_t, LS_GROUPS> Tracer::site_hits() const {
  std::array<uint64_t, LS_GROUPS> sums{};
  std::vector<uint64_t> per_cpu(static_cast<size_t>(std::max(libbpf_num_possible_cpus(), 1)));
  for (uint32_t group = 0; group < LS_GROUPS; group++) {
    if (bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.probe_hits), &group,
                            per_cpu.data()) != 0)
      continue;
    for (uint64_t value : per_cpu) sums[group] += value;
  }
  return sums;
}

std::map<uint32_t, std::array<uint64_t, LS_GROUPS>> Tracer::process_hits() const {
  std::map<uint32_t, std::array<uint64_t, LS_GROUPS>> found;
  int map = bpf_map__fd(state_->skeleton->maps.process_hits);
  uint64_t key = 0;  // tgid << 32 | group
  uint64_t value = 0;
  const void* previous = nullptr;
  // The map changes meanwhile; more rounds than it has entries would go in circles.
  for (size_t rounds = 0; rounds < 32768 && bpf_map_get_next_key(map, previous, &key) == 0;
       rounds++) {
    auto group = static_cast<uint32_t>(key);
    if (bpf_map_lookup_elem(map, &key, &value) == 0 && group < LS_GROUPS)
      found[static_cast<uint32_t>(key >> 32)][group] = value;
    previous = &key;
  }
  return found;
}

uint64_t Tracer::site_cost_ns() {
  constexpr int kCalls = 2000;
  constexpr uint64_t kTypical = 2000;  // where it cannot be measured
  if (state_->site_cost_ns != 0) return state_->site_cost_ns;
  state_->site_cost_ns = kTypical;
  Fd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  auto address = reinterpret_cast<uintptr_t>(&own_site);  // NOLINT: looked up in the maps
  ProbeSite site;
  site.spec.kind = LS_PROBE_FUNCTION_ENTRY;  // in the program of another group: does nothing
  site.offset = offset_in_file(address);
  if (!self || site.offset == 0) return kTypical;
  uint64_t bare = time_of_calls(kCalls);
  auto handle = attach_sites(LS_GROUP_GC, self.get(), std::span(&site, 1));
  if (!handle) return kTypical;
  time_of_calls(kCalls / 10);
  uint64_t probed = time_of_calls(kCalls);
  detach_sites(std::span(&*handle, 1));
  if (probed > bare) state_->site_cost_ns = std::max<uint64_t>((probed - bare) / kCalls, 1);
  return state_->site_cost_ns;
}

}  // namespace loopsight
