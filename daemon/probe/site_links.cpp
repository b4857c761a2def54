#include "daemon/probe/site_links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>

#include "daemon/base/fd.h"

namespace loopsight {
namespace {

constexpr auto kUprobeMulti = static_cast<bpf_attach_type>(48);  // BPF_TRACE_UPROBE_MULTI
constexpr size_t kClosers = 16;

// The part of union bpf_attr that creates such a link (include/uapi/linux/bpf.h of Linux 6.6);
// Debian 12's headers are older.
struct MultiLinkAttributes {
  uint32_t program = 0;
  uint32_t target = 0;
  uint32_t attach_type = kUprobeMulti;
  uint32_t flags = 0;
  uint64_t path = 0;
  uint64_t offsets = 0;
  uint64_t ref_ctr_offsets = 0;
  uint64_t cookies = 0;
  uint32_t count = 0;
  uint32_t multi_flags = 0;
  uint32_t pid = 0;
  uint32_t pad = 0;
};

int create_multi_link(const MultiLinkAttributes& attributes) {
  return static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes)));
}

template <typename T>
uint64_t address_of(const T* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);  // NOLINT: the kernel takes it as a number
}

}  // namespace

bool has_multi_links() {
  static const bool result = [] {
    const std::array<bpf_insn, 2> zero = {{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = kUprobeMulti);
    Fd program(bpf_prog_load(BPF_PROG_TYPE_KPROBE, "ls_probe", "Dual BSD/GPL", zero.data(),
                             zero.size(), &options));
    if (!program) return false;
    // A folder is no file to attach to: a kernel that has these links says so by EBADF, one that
    // has not by EINVAL.
    uint64_t offset = 0;
    int fd = create_multi_link({.program = static_cast<uint32_t>(program.get()),
                                .path = address_of("/"),
                                .offsets = address_of(&offset),
                                .count = 1});
    int error = errno;
    if (fd >= 0) close(fd);
    return fd < 0 && error == EBADF;
  }();
  return result;
}

void use_multi_links(bpf_program* program) {
  bpf_program__set_expected_attach_type(program, kUprobeMulti);
}

SiteLinks::~SiteLinks() {
  std::vector<Link> all;
  all.reserve(links_.size());
  for (auto& [handle, link] : links_) all.push_back(std::move(link));
  close_all(all);
}

void SiteLinks::close_all(const std::vector<Link>& links) {
  std::vector<std::function<void()>> jobs;
  for (const Link& link : links) {
    for (int fd : link.fds) jobs.emplace_back([fd] { close(fd); });
    for (bpf_link* one : link.links) jobs.emplace_back([one] { bpf_link__destroy(one); });
  }
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i = next++; i < jobs.size(); i = next++) jobs[i]();
  };
  std::vector<std::jthread> closers;
  for (size_t i = 1; i < std::min(kClosers, jobs.size()); i++) closers.emplace_back(work);
  work();
}

Result<uint64_t> SiteLinks::spec_index(const ls_probe_spec& spec) {
  std::string bytes(sizeof(spec), '\0');
  std::memcpy(bytes.data(), &spec, sizeof(spec));
  if (auto known = specs_.find(bytes); known != specs_.end()) return known->second;
  if (specs_.size() >= LS_MAX_PROBE_SPECS)
    return failure(fmt::format("more than {} kinds of probe sites", LS_MAX_PROBE_SPECS));
  auto index = static_cast<uint32_t>(specs_.size());
  if (bpf_map_update_elem(specs_map_, &index, &spec, BPF_ANY) != 0)
    return failure(fmt::format("cannot describe a probe site: {}", std::strerror(errno)));
  specs_.emplace(std::move(bytes), index);
  return index;
}

Result<SiteLinks::Link> SiteLinks::attach_multi(int program, const std::string& path,
                                                std::span<const ProbeSite> sites,
                                                const std::vector<uint64_t>& cookies,
                                                uint32_t tgid) const {
  std::vector<uint64_t> offsets;
  std::vector<uint64_t> semaphores;
  for (const ProbeSite& site : sites) {
    offsets.push_back(site.offset);
    semaphores.push_back(site.semaphore);
  }
  int fd = create_multi_link({.program = static_cast<uint32_t>(program),
                              .path = address_of(path.c_str()),
                              .offsets = address_of(offsets.data()),
                              .ref_ctr_offsets = address_of(semaphores.data()),
                              .cookies = address_of(cookies.data()),
                              .count = static_cast<uint32_t>(sites.size()),
                              .pid = tgid});
  if (fd < 0) return failure(fmt::format("cannot attach to its probes: {}", std::strerror(errno)));
  return Link{.fds = {fd}, .links = {}};
}

Result<SiteLinks::Link> SiteLinks::attach_each(bpf_program* program, const std::string& path,
                                               std::span<const ProbeSite> sites,
                                               const std::vector<uint64_t>& cookies,
                                               uint32_t tgid) {
  Link link;
  for (size_t i = 0; i < sites.size(); i++) {
    LIBBPF_OPTS(bpf_uprobe_opts, options, .ref_ctr_offset = sites[i].semaphore,
                .bpf_cookie = cookies[i]);
    bpf_link* one =
        bpf_program__attach_uprobe_opts(program, tgid == 0 ? -1 : static_cast<pid_t>(tgid),
                                        path.c_str(), sites[i].offset, &options);
    if (one) {
      link.links.push_back(one);
      continue;
    }
    std::string why = std::strerror(errno);
    close_all({std::move(link)});
    return failure(fmt::format("cannot attach to its probes: {}", why));
  }
  return link;
}

Result<uint32_t> SiteLinks::attach(bpf_program* program, int file, std::span<const ProbeSite> sites,
                                   uint32_t tgid) {
  std::vector<uint64_t> cookies;
  for (const ProbeSite& site : sites) {
    auto index = spec_index(site.spec);
    if (!index) return tl::make_unexpected(index.error());
    cookies.push_back(*index);
  }
  // By the descriptor, so that what was checked is what is attached to.
  std::string path = fmt::format("/proc/self/fd/{}", file);
  auto link = multi_ ? attach_multi(bpf_program__fd(program), path, sites, cookies, tgid)
                     : attach_each(program, path, sites, cookies, tgid);
  if (!link) return tl::make_unexpected(link.error());
  uint32_t handle = next_handle_++;
  links_.emplace(handle, std::move(*link));
  return handle;
}

void SiteLinks::detach(std::span<const uint32_t> handles) {
  std::vector<Link> gone;
  for (uint32_t handle : handles) {
    auto found = links_.find(handle);
    if (found == links_.end()) continue;
    gone.push_back(std::move(found->second));
    links_.erase(found);
  }
  close_all(gone);
}

}  // namespace loopsight
