#include "daemon/probe/thread_iterator.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "daemon/base/fd.h"

namespace loopsight {

Result<void> iterate_threads(bpf_program* program, uint32_t tgid, size_t size,
                             const std::function<void(const void*)>& on_item) {
  bpf_iter_link_info info{};
  info.task.pid = tgid;  // since Linux 6.1; before, every thread of the host is gone through
  LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
  std::unique_ptr<bpf_link, decltype(&bpf_link__destroy)> link(
      bpf_program__attach_iter(program, &options), &bpf_link__destroy);
  if (!link) link.reset(bpf_program__attach_iter(program, nullptr));
  auto refused = [tgid] {
    return failure(
        fmt::format("cannot look at the threads of pid {}: {}", tgid, std::strerror(errno)));
  };
  if (!link) return refused();
  Fd reading(bpf_iter_create(bpf_link__fd(link.get())));
  if (!reading) return refused();
  // Onto a CPU a moment ago: the programs take that moment for now (slept.bpf.h).
  usleep(1000);
  std::vector<std::byte> item(size);
  for (;;) {
    ssize_t got = ::read(reading.get(), item.data(), size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0 && errno != ESRCH) return refused();  // ESRCH: it has ended
    if (got != static_cast<ssize_t>(size)) return {};
    on_item(item.data());
  }
}

}  // namespace loopsight
