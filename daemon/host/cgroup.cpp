#include "daemon/host/cgroup.h"

#include <algorithm>
#include <array>
#include <utility>

namespace loopsight {
namespace {

constexpr size_t kMaxName = 128;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// systemd escapes what a unit's name may not hold as \xNN.
std::string unescape(std::string_view name) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string plain;
  for (size_t i = 0; i < name.size(); i++) {
    bool escape = i + 3 < name.size() && name[i] == '\\' && name[i + 1] == 'x' &&
                  digit(name[i + 2]) >= 0 && digit(name[i + 3]) >= 0;
    if (!escape) {
      plain += name[i];
      continue;
    }
    plain += static_cast<char>(digit(name[i + 2]) * 16 + digit(name[i + 3]));
    i += 3;
  }
  return plain;
}

// What stands between `prefix` and `suffix`, nothing where they do not.
std::string_view between(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix))
    return {};
  return name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
}

// "docker-<id>.scope", "cri-containerd-<id>.scope", "crio-<id>.scope", "libpod-<id>.scope",
// "libpod-payload-<id>", "<id>". The runtimes' watchers (conmon) stand beside the container.
std::string_view container_id(std::string_view name) {
  constexpr std::string_view kScope = ".scope";
  if (name.find("conmon-") != std::string_view::npos) return {};
  if (name.ends_with(kScope)) name.remove_suffix(kScope.size());
  size_t dash = name.rfind('-');
  if (dash != std::string_view::npos) name.remove_prefix(dash + 1);
  return name.size() == 64 && is_hex(name) ? name : std::string_view();
}

// "kubepods-burstable-pod<uid>.slice" with '_' for '-', or "pod<uid>". Nothing above it counts:
// from within a cgroup namespace, as loopsight's own pod has one, a path begins with "/../..". A
// static pod's UID is a hash without dashes.
std::string pod_uid(std::string_view name) {
  constexpr std::string_view kSlice = ".slice";
  if (name.ends_with(kSlice)) name.remove_suffix(kSlice.size());
  size_t at = name.rfind("pod");
  if (at == std::string_view::npos) return {};
  if (at > 0 && (name[at - 1] != '-' || name.find("kubepods-") >= at)) return {};
  std::string uid(name.substr(at + 3));
  std::replace(uid.begin(), uid.end(), '_', '-');
  std::string digits = uid;
  std::erase(digits, '-');
  bool plain = uid.size() == 32;
  bool dashed = uid.size() == 36 && uid[8] == '-' && uid[13] == '-' && uid[18] == '-' &&
                uid[23] == '-' && digits.size() == 32;
  return (plain || dashed) && is_hex(digits) ? uid : std::string();
}

// systemd-run's names: "run-u12.service", "run-r<32 digits>.service", "run-p7-i8.service".
bool is_transient(std::string_view name) {
  std::string_view rest = between(name, "run-", ".service");
  return rest.size() > 1 && (rest[0] == 'u' || rest[0] == 'r' || rest[0] == 'p') &&
         rest.substr(1).find_first_not_of("0123456789abcdef-i") == std::string_view::npos;
}

bool is_unit(std::string_view name) {
  return name.ends_with(".service") && name.size() > 8 && !name.starts_with("user@") &&
         !is_transient(name) && !is_container_runtime(name);
}

// Containers that are told by name; `before` is the name above.
std::string_view machine_name(std::string_view name, std::string_view before) {
  if (auto lxc = between(name, "lxc.payload.", ""); !lxc.empty()) return lxc;
  if ((before == "lxc" || before == "lxc.payload") && name != "monitor") return name;
  if (auto nspawn = between(name, "systemd-nspawn@", ".service"); !nspawn.empty()) return nspawn;
  return before == "machine.slice" ? between(name, "machine-", ".scope") : std::string_view();
}

// Walks one path from the root to the process.
class PathReader {
 public:
  explicit PathReader(bool has_units) : has_units_(has_units) {}

  void on_name(std::string_view name) {
    if (auto uid = pod_uid(name); !uid.empty() && !entered_) found_.pod = uid;
    std::string_view before = std::exchange(before_, name);
    if (auto machine = machine_name(name, before); !machine.empty()) {
      enter(unescape(machine.substr(0, kMaxName)), /*is_system=*/true);
    } else if (auto id = container_id(name); !id.empty()) {
      enter(std::string(id), /*is_system=*/false);
    } else if (has_units_ && is_unit(name) && (!entered_ || is_system_)) {
      found_.unit = unescape(name);
      found_.unit_is_inside = entered_;
    }
  }

  // Adds what this path said to what others did: not every hierarchy goes all the way down.
  void add_to(Placement& placement) const {
    if (!found_.container.empty()) placement.container = found_.container;
    if (!found_.pod.empty()) placement.pod = found_.pod;
    if (found_.unit.empty()) return;
    placement.unit = found_.unit;
    placement.unit_is_inside = found_.unit_is_inside;
  }

 private:
  // Of containers in one another the outermost counts, and units in an application's do not: what
  // is in it may call its groups what it likes.
  void enter(std::string container, bool is_system) {
    if (entered_) return;
    // What is outside a system container does not say what runs in it; a unit that holds one
    // application's container does.
    if (is_system) {
      found_.unit.clear();
      found_.unit_is_inside = false;
    }
    entered_ = true;
    is_system_ = is_system;
    found_.container = std::move(container);
  }

  Placement found_;
  bool has_units_;
  bool entered_ = false;    // a container
  bool is_system_ = false;  // with units of its own
  std::string_view before_;
};

std::string_view take(std::string_view& text, std::string_view separators) {
  size_t end = text.find_first_of(separators);
  std::string_view field = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return field;
}

}  // namespace

bool is_container_runtime(std::string_view unit) {
  constexpr std::array<std::string_view, 12> kRuntimes = {
      "docker.", "containerd.", "crio.",        "kubelet.",  "k3s",     "rke2-",
      "k0s",     "lxc",         "snap.docker.", "snap.lxd.", "podman.", "snap.microk8s."};
  return std::any_of(kRuntimes.begin(), kRuntimes.end(),
                     [&](std::string_view runtime) { return unit.starts_with(runtime); });
}

Placement parse_cgroup(std::string_view text, const BelievedPath& believed) {
  Placement placement;
  while (!text.empty()) {
    // hierarchy:controllers:path
    std::string_view line = take(text, "\n");
    if (std::count(line.begin(), line.end(), ':') < 2) continue;
    take(line, ":");
    std::string_view controllers = take(line, ":");
    PathReader reader(controllers.empty() || controllers == "name=systemd");
    if (believed) line = believed(controllers, line);
    // Where containerd takes systemd's way of naming for a path, a name has the form
    // "kubepods-pod<uid>.slice:cri-containerd:<id>".
    while (!line.empty())
      if (auto name = take(line, "/:"); !name.empty()) reader.on_name(name);
    reader.add_to(placement);
  }
  return placement;
}

}  // namespace loopsight
