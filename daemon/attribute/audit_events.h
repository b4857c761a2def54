// CPython's audit events that mean a call which may block: which of their arguments names the thing
// that is waited for, and which causes such a call can have. The rest, thousands a second in some
// programs (object.__getattr__, sys._getframe, import), is noise.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bpf/wire.h"

namespace loopsight {

// How an argument is shown: some may hold secrets.
enum class ArgumentStyle {
  kPlain,
  kCommand,  // a command line: only its program's name
  kHost,     // without the user before an @
  kUrl,      // without user, password, query and fragment
};

struct AuditEvent {
  std::string_view name;
  uint32_t argument;  // index in the event's tuple, LS_NO_ARGUMENT none
  uint32_t causes;    // bits of enum ls_cause
  ArgumentStyle style = ArgumentStyle::kPlain;
};

std::span<const AuditEvent> audit_events();

// What a stall shows of a call.
struct CallReport {
  std::string event;                    // "socket.getaddrinfo"
  std::optional<std::string> argument;  // "db.internal"; nothing where it is not known
};

// The call, cleaned, where it is of the table and can have had this cause.
std::optional<CallReport> describe_call(const ls_call& call, uint32_t cause);

// Takes out of the calls what is never shown of them, so that no recording holds it either.
void hide_secrets(ls_probed& probed);

}  // namespace loopsight
