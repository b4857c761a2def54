// Where a process runs, from its /proc/PID/cgroup: pod, container and systemd unit.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace loopsight {

struct Placement {
  std::string container;  // the outermost: 64 hexadecimal digits, or the name that LXC or systemd's
                          // machines have; "" outside one
  std::string pod;        // Kubernetes' UID of the pod, as the API spells it
  std::string unit;       // "uvicorn.service", "" without one
  bool unit_is_inside = false;  // the unit is that of a machine's own systemd
};

// Knows the paths of Docker, containerd, CRI-O, Podman, LXC and systemd-nspawn, one inside another
// too, under both cgroup versions and both cgroup drivers, and systemd's slices. No unit are:
// scopes (login sessions, applications of a desktop, snaps and flatpaks: they say who started a
// program, not what it is), services whose name changes with each start (systemd-run), and those of
// the container runtimes themselves.
//
// `believed` gives how much of a hierarchy's path (its controllers, its path) is taken at its word,
// see cgroup_levels.h; all of it without.
using BelievedPath = std::function<std::string_view(std::string_view, std::string_view)>;
Placement parse_cgroup(std::string_view text, const BelievedPath& believed = {});

// Whether a unit is that of a container runtime.
bool is_container_runtime(std::string_view unit);

}  // namespace loopsight
