#include "daemon/probe/thread_survey.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "daemon/probe/thread_iterator.h"
#include "daemon/probe/tracer.h"
#include "loopsight.skel.h"

namespace loopsight {
namespace {

// The rest of the kernel side's maps are not made for a look.
bool is_used(std::string_view map) {
  return map == "counters" || map == "surveyed_fds" || map == "survey_place" ||
         map.find(".rodata") != map.npos || map.find(".bss") != map.npos ||
         map.find(".data") != map.npos;
}

}  // namespace

struct ThreadSurvey::State {
  loopsight_bpf* skeleton = nullptr;
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { loopsight_bpf__destroy(skeleton); }
};

ThreadSurvey::ThreadSurvey(std::unique_ptr<State> state) : state_(std::move(state)) {}
ThreadSurvey::ThreadSurvey(ThreadSurvey&&) noexcept = default;
ThreadSurvey& ThreadSurvey::operator=(ThreadSurvey&&) noexcept = default;
ThreadSurvey::~ThreadSurvey() = default;

Result<ThreadSurvey> ThreadSurvey::open() {
  if (auto ground = can_trace(); !ground) return tl::make_unexpected(ground.error());
  libbpf_set_print(nullptr);
  auto state = std::make_unique<State>();
  state->skeleton = loopsight_bpf__open();
  if (!state->skeleton)
    return failure(fmt::format("cannot open the BPF object: {}", std::strerror(errno)));
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, state->skeleton->obj)
      bpf_program__set_autoload(program, program == state->skeleton->progs.survey_thread);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, state->skeleton->obj)
      bpf_map__set_autocreate(map, is_used(bpf_map__name(map)));
  if (int error = loopsight_bpf__load(state->skeleton); error != 0)
    return failure(
        fmt::format("the kernel refuses the BPF program that looks at threads: {}; 'loopsight "
                    "check' says what is missing",
                    std::strerror(-error)));
  return ThreadSurvey(std::move(state));
}

Result<std::vector<ls_surveyed>> ThreadSurvey::look(uint32_t tgid,
                                                    const std::map<uint32_t, int>& polled) {
  loopsight_bpf* skeleton = state_->skeleton;
  int fds = bpf_map__fd(skeleton->maps.surveyed_fds);
  for (const auto& [tid, fd] : polled) bpf_map_update_elem(fds, &tid, &fd, BPF_ANY);
  skeleton->bss->surveyed_tgid = tgid;
  auto seen = read_threads<ls_surveyed>(skeleton->progs.survey_thread, tgid);
  for (const auto& [tid, fd] : polled) bpf_map_delete_elem(fds, &tid);
  return seen;
}

}  // namespace loopsight
