// The names of containers that stay the same when these are started anew. A cgroup's path has only
// ids; the names are where the kubelet, Docker and Podman keep them on the host's own file system,
// read without asking anybody. Nothing inside the container is believed or opened: what its
// processes may write (environment, /etc/hostname) they may make up, or have answered by a file
// system of theirs that never answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/host/cgroup.h"

namespace loopsight {

struct ContainerNames {
  std::string workload;  // "" where nothing but an id is known
  std::string pod;       // "namespace/pod" as the API spells it, "" outside Kubernetes
};

// The host is what process 1 of `proc_root` sees. The workload's name is
//   Kubernetes     namespace/owner/container: the pod's name without what its controller added
//   Docker         the Swarm service, else Compose's project-service, else the container's name
//   Podman (root)  the container's name
//   LXC, nspawn    the machine's name
//   else           the systemd unit around it, if any
// and "/unit" where the container has a systemd of its own.
ContainerNames find_container_names(const std::string& proc_root, uint32_t pid,
                                    const Placement& placement);

// "shop-7d9c5b6f4d-x2x7z" -> "shop", "db-0" -> "db", "backup-28370415-k8m2p" -> "backup".
std::string pod_owner(std::string_view pod);

// The container's name from the path at which the kubelet keeps its termination message.
std::string kubelet_container(std::string_view mountinfo, std::string_view pod_uid);

}  // namespace loopsight
