// Texts of /proc and of cgroups.
#include "daemon/host/cgroup.h"
#include "daemon/host/container_names.h"
#include "daemon/host/cpu_quota.h"
#include "daemon/host/proc.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(proc_text, input) {
  if (input.empty()) return;
  char which = input[0];
  input.remove_prefix(1);
  fuzz::Bytes bytes(input);
  switch (which) {
    case 'm':
      for (const Mapping& one : parse_mappings(input))
        fuzz::require(one.inode != 0 && !one.path.empty(), "a mapping of a file");
      break;
    case 'c': {
      Placement placement = parse_cgroup(input);
      fuzz::require(placement.pod.size() <= 36, "a pod's UID");
      break;
    }
    case 'k': {
      std::string_view uid = bytes.take_field('\n');
      fuzz::require(kubelet_container(bytes.rest(), uid).size() < 64, "a container's name");
      break;
    }
    case 'p': (void)pod_owner(input); break;
    default: (void)parse_cpu_max(input);
  }
}
