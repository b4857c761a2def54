#include "daemon/host/container_names.h"

#include <dirent.h>
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <vector>

#include "daemon/base/json_fields.h"
#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr size_t kMaxEntries = 4096;
constexpr size_t kMaxMountInfo = 1 << 20;
constexpr size_t kMaxJson = 4 << 20;
constexpr size_t kIdDigits = 64;

std::vector<std::string> list_names(const std::string& path) {
  struct Closer {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  std::vector<std::string> names;
  std::unique_ptr<DIR, Closer> directory(opendir(path.c_str()));
  while (directory && names.size() < kMaxEntries) {
    const dirent* entry = readdir(directory.get());
    if (!entry) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

struct Pod {
  std::string space;
  std::string name;
  std::string container;  // "" unless it has just one
};

// The kubelet keeps a pod's logs at <namespace>_<pod>_<uid>/<container>/.
std::optional<Pod> find_pod(const std::string& host, const std::string& uid) {
  std::string logs = host + "/var/log/pods";
  for (const std::string& entry : list_names(logs)) {
    if (!entry.ends_with("_" + uid)) continue;
    std::string names = entry.substr(0, entry.size() - uid.size() - 1);
    size_t middle = names.find('_');
    if (middle == 0 || middle == std::string::npos || middle + 1 == names.size()) continue;
    auto containers = list_names(fmt::format("{}/{}", logs, entry));
    return Pod{.space = names.substr(0, middle),
               .name = names.substr(middle + 1),
               .container = containers.size() == 1 ? containers[0] : ""};
  }
  return std::nullopt;
}

using Json = nlohmann::ordered_json;

Json read_json(const std::string& path) {
  auto text = read_proc_file(path, kMaxJson);
  return text ? parse_json(*text) : Json();
}

// As the engine has it; names are cleaned where they are shown.
std::string text_at(const Json& json, const char* key) {
  const Json& value = json_member(json, key);
  return value.is_string() ? value.get<std::string>() : "";
}

std::string docker_name(const std::string& host, const std::string& id) {
  Json json = read_json(fmt::format("{}/var/lib/docker/containers/{}/config.v2.json", host, id));
  const Json& labels = json_member(json_member(json, "Config"), "Labels");
  // The names of a service's tasks have an id that changes; a scaled service's containers have a
  // number, which is what workers are for.
  if (auto swarm = text_at(labels, "com.docker.swarm.service.name"); !swarm.empty()) return swarm;
  auto project = text_at(labels, "com.docker.compose.project");
  auto service = text_at(labels, "com.docker.compose.service");
  if (!project.empty() && !service.empty()) return project + "-" + service;
  auto name = text_at(json, "Name");
  return name.starts_with('/') ? name.substr(1) : name;
}

std::string podman_name(const std::string& host, const std::string& id) {
  Json json = read_json(host + "/var/lib/containers/storage/overlay-containers/containers.json");
  if (!json.is_array()) return "";
  for (const Json& container : json) {
    if (text_at(container, "id") != id) continue;
    const Json& names = json_member(container, "names");
    bool named = names.is_array() && !names.empty() && names.front().is_string();
    return named ? names.front().get<std::string>() : "";
  }
  return "";
}

bool is_made_of(std::string_view text, std::string_view characters) {
  return text.find_first_not_of(characters) == std::string_view::npos;
}

// Takes "-<suffix>" off a name where the suffix is of such length and characters.
bool strip(std::string_view& name, size_t shortest, size_t longest, std::string_view characters) {
  size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return false;
  std::string_view suffix = name.substr(dash + 1);
  if (suffix.size() < shortest || suffix.size() > longest || !is_made_of(suffix, characters))
    return false;
  name = name.substr(0, dash);
  return true;
}

}  // namespace

std::string pod_owner(std::string_view pod) {
  // Kubernetes' random suffixes have no vowels, and none of the digits that look like one.
  constexpr std::string_view kRandom = "bcdfghjklmnpqrstvwxz2456789";
  constexpr std::string_view kDigits = "0123456789";
  if (strip(pod, 5, 5, kRandom)) {
    if (!strip(pod, 8, 10, kDigits)) strip(pod, 8, 10, kRandom);  // a CronJob's, a ReplicaSet's
  } else {
    strip(pod, 1, 4, kDigits);  // a StatefulSet's
  }
  return std::string(pod);
}

std::string kubelet_container(std::string_view mountinfo, std::string_view pod_uid) {
  // 36 35 98:0 /var/lib/kubelet/pods/<uid>/containers/<name>/<id> /dev/termination-log rw …
  std::string wanted = fmt::format("/pods/{}/containers/", pod_uid);
  while (!mountinfo.empty() && !pod_uid.empty()) {
    size_t end = mountinfo.find('\n');
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
    for (int field = 0; field < 3; field++) {
      size_t blank = line.find(' ');
      line.remove_prefix(blank == std::string_view::npos ? line.size() : blank + 1);
    }
    std::string_view root = line.substr(0, line.find(' '));
    size_t at = root.find(wanted);
    if (at == std::string_view::npos) continue;
    std::string_view name = root.substr(at + wanted.size());
    name = name.substr(0, name.find('/'));
    if (!name.empty() && is_made_of(name, "abcdefghijklmnopqrstuvwxyz0123456789-") &&
        name.size() < 64)
      return std::string(name);
  }
  return "";
}

ContainerNames find_container_names(const std::string& proc_root, uint32_t pid,
                                    const Placement& placement) {
  ContainerNames found;
  if (placement.container.empty()) return found;
  std::string host = proc_root + "/1/root";
  if (!placement.pod.empty()) {
    auto mounts = read_proc_file(fmt::format("{}/{}/mountinfo", proc_root, pid), kMaxMountInfo);
    std::string container = kubelet_container(mounts.value_or(""), placement.pod);
    if (auto pod = find_pod(host, placement.pod)) {
      found.pod = pod->space + "/" + pod->name;
      if (container.empty()) container = pod->container;
      found.workload = pod->space + "/" + pod_owner(pod->name);
    }
    if (!container.empty()) found.workload += (found.workload.empty() ? "" : "/") + container;
  } else if (placement.container.size() == kIdDigits) {
    found.workload = docker_name(host, placement.container);
    if (found.workload.empty()) found.workload = podman_name(host, placement.container);
    if (found.workload.empty() && !placement.unit_is_inside) found.workload = placement.unit;
  } else {
    found.workload = placement.container;
  }
  if (!found.workload.empty() && placement.unit_is_inside) found.workload += "/" + placement.unit;
  return found;
}

}  // namespace loopsight
