// What a request says before its body: the target on the first line, then headers.
#include "daemon/web/request_head.h"

#include "daemon/web/host_names.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(request_head, input) {
  static const HostNames names("node1", {"metrics.example", "*.nodes.example"});
  fuzz::Bytes bytes(input);
  RequestHead head{.target = std::string(bytes.take_field('\n'))};
  while (!bytes.is_empty() && head.headers.size() < 30) {
    std::string name(bytes.take_field(':'));
    std::string value(bytes.take_field('\n'));
    head.headers.emplace_back(std::move(name), std::move(value));
  }
  bool ours = !head.hosts().empty();
  for (std::string_view host : head.hosts()) {
    bool has = names.has(host);
    ours = ours && has;
    if (!has) continue;
    for (unsigned char c : host)
      fuzz::require(c > 0x20 && c < 0x7F && std::strchr("@/\\%?#,", c) == nullptr, "a plain name");
  }
  (void)head.is_of_another_site();
  if (!head.fault().empty()) return;
  for (unsigned char c : head.target)
    fuzz::require(c > 0x20 && c != 0x7F, "a target without control characters");
  fuzz::require(head.target.find("%00") == std::string::npos, "a target without zero bytes");
  // Where the path begins is known once the hosts are.
  if (auto authority = head.authority(); authority && ours)
    fuzz::require(authority->find('%') == std::string_view::npos, "nothing encoded in a host");
}
