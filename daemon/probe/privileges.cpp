#include "daemon/probe/privileges.h"

#include <cap-ng.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace loopsight {
namespace {

// CAP_CHECKPOINT_RESTORE, which the headers of older kernels lack.
constexpr unsigned kCheckpointRestore = 40;
constexpr std::array<unsigned, 6> kKept = {
    CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, kCheckpointRestore};

bool has(unsigned capability) { return capng_have_capability(CAPNG_EFFECTIVE, capability) != 0; }

}  // namespace

bool may_trace() {
  if (capng_get_caps_process() != 0) return false;
  return has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
}

Result<void> check_rights() {
  if (may_trace()) return {};
  return failure(
      "cannot load BPF programs: not root, and without CAP_BPF and CAP_PERFMON (CAP_SYS_PTRACE "
      "too, for processes of other users); run it with sudo (see what it needs with 'loopsight "
      "check')");
}

Result<void> drop_privileges(bool has_child) {
  if (capng_get_caps_process() != 0) return failure("cannot read our own capabilities");
  std::array<bool, kKept.size()> had{};
  for (size_t i = 0; i < kKept.size(); i++) had[i] = has(kKept[i]);
  bool kills = has_child && has(CAP_KILL);
  bool may_set_bounds = has(CAP_SETPCAP);
  capng_clear(may_set_bounds ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
  for (size_t i = 0; i < kKept.size(); i++)
    if (had[i])
      capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                   kKept[i]);
  if (kills)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), CAP_KILL);
  // Nothing that we might start may have more again.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      capng_apply(may_set_bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0)
    return failure(std::string("cannot give up capabilities: ") + std::strerror(errno));
  return {};
}

}  // namespace loopsight
