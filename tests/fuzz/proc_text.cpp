// Texts of /proc and of cgroups, command lines and process titles.
#include "daemon/host/cgroup.h"
#include "daemon/host/cgroup_levels.h"
#include "daemon/host/container_names.h"
#include "daemon/host/cpu_quota.h"
#include "daemon/host/proc.h"
#include "daemon/python/argument_shapes.h"
#include "daemon/python/program_name.h"
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
    case 'n': {
      ProgramLook look;
      look.cwd = bytes.take_field('\n');
      look.cmdline = bytes.rest();
      ProgramName name = name_program(look);
      fuzz::require(name.kind == ProgramName::Kind::kChild || !name.core.empty(), "a name");
      fuzz::require(name.core.size() <= 2 * kMaxNamePart, "a short name");
      break;
    }
    case 'o': {
      CgroupMount mount;
      (void)parse_cgroup_mount(input, mount);
      break;
    }
    default: (void)parse_cpu_max(input);
  }
}
