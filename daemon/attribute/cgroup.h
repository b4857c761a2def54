// Where a process runs, from its /proc/PID/cgroup: the container and the systemd unit.
#pragma once

#include <string>
#include <string_view>

namespace loopsight {

struct Placement {
  std::string container;  // the runtime's 64 hexadecimal digits, "" outside a container
  std::string unit;       // "uvicorn.service", "" without one
};

// Knows the paths of Docker, containerd, CRI-O and Podman under both cgroup versions and both
// cgroup drivers, and systemd's slices. Login sessions (session-3.scope, user@1000.service) are no
// unit: they say who started a program, not what it is.
Placement parse_cgroup(std::string_view text);

}  // namespace loopsight
