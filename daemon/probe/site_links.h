// The links that attach a program to the sites of CPython's own probes: one for all sites of a
// group in a file where the kernel has such links (uprobe_multi, Linux 6.6), else one for each
// site.
//
// Taking a link down waits for the kernel's grace periods, some ten milliseconds each, so many are
// closed at once by a few threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/probe_site.h"
#include "daemon/base/result.h"

struct bpf_link;
struct bpf_program;

namespace loopsight {

// Whether this kernel attaches many sites by one link; programs must then be loaded for it.
bool has_multi_links();
// Loads `program` for such links; to be called before loading.
void use_multi_links(bpf_program* program);

class SiteLinks {
 public:
  // `specs_map` is the descriptor of the map `probe_specs`.
  SiteLinks(int specs_map, bool multi) : specs_map_(specs_map), multi_(multi) {}
  SiteLinks(const SiteLinks&) = delete;
  SiteLinks& operator=(const SiteLinks&) = delete;
  ~SiteLinks();

  // Attaches `program` to `sites` of the file open as `file`; returns a handle. Whoever runs the
  // file, now or later, hits them; with a `tgid` that process alone does. Errors: no room for
  // another specification, the kernel refuses a site; then nothing is attached.
  Result<uint32_t> attach(bpf_program* program, int file, std::span<const ProbeSite> sites,
                          uint32_t tgid = 0);
  void detach(std::span<const uint32_t> handles);

 private:
  struct Link {
    std::vector<int> fds;
    std::vector<bpf_link*> links;
  };
  Result<uint64_t> spec_index(const ls_probe_spec& spec);
  Result<Link> attach_multi(int program, const std::string& path, std::span<const ProbeSite> sites,
                            const std::vector<uint64_t>& cookies, uint32_t tgid) const;
  static Result<Link> attach_each(bpf_program* program, const std::string& path,
                                  std::span<const ProbeSite> sites,
                                  const std::vector<uint64_t>& cookies, uint32_t tgid);
  static void close_all(const std::vector<Link>& links);

  int specs_map_;
  bool multi_;
  std::map<std::string, uint32_t> specs_;  // by their bytes
  std::map<uint32_t, Link> links_;         // by handle
  uint32_t next_handle_ = 1;
};

}  // namespace loopsight
