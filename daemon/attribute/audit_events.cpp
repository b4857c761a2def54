#include "daemon/attribute/audit_events.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/attribute/cause_bits.h"
#include "daemon/base/text.h"
#include "daemon/python/code_objects.h"

namespace loopsight {
namespace {

constexpr uint32_t kSleep = cause_bits(LS_CAUSE_SLEEP);
constexpr uint32_t kFile =
    cause_bits(LS_CAUSE_DISK, LS_CAUSE_PIPE, LS_CAUSE_OTHER, LS_CAUSE_LOCK, LS_CAUSE_CPU);
constexpr uint32_t kNetwork =
    cause_bits(LS_CAUSE_NETWORK, LS_CAUSE_LOCK, LS_CAUSE_DISK, LS_CAUSE_SLEEP);
constexpr uint32_t kSocket = cause_bits(LS_CAUSE_NETWORK);
constexpr uint32_t kChild =
    cause_bits(LS_CAUSE_SUBPROCESS, LS_CAUSE_PIPE, LS_CAUSE_SLEEP, LS_CAUSE_CPU);
constexpr uint32_t kDatabase =
    cause_bits(LS_CAUSE_DISK, LS_CAUSE_LOCK, LS_CAUSE_SLEEP, LS_CAUSE_CPU, LS_CAUSE_OTHER);
constexpr uint32_t kLock = cause_bits(LS_CAUSE_LOCK, LS_CAUSE_SLEEP, LS_CAUSE_OTHER);
constexpr uint32_t kNone = LS_NO_ARGUMENT;

// From the audit events table of CPython's documentation, 3.8 to 3.15.
constexpr AuditEvent kEvents[] = {
    {"time.sleep", 0, kSleep},
    {"open", 0, kFile},
    {"os.chmod", 0, kFile},
    {"os.chown", 0, kFile},
    {"os.link", 0, kFile},
    {"os.listdir", 0, kFile},
    {"os.lockf", 0, kLock},
    {"os.mkdir", 0, kFile},
    {"os.remove", 0, kFile},
    {"os.rename", 0, kFile},
    {"os.rmdir", 0, kFile},
    {"os.scandir", 0, kFile},
    {"os.symlink", 0, kFile},
    {"os.truncate", 0, kFile},
    {"os.utime", 0, kFile},
    {"os.walk", 0, kFile},
    {"os.fwalk", 0, kFile},
    {"os.exec", 0, kChild},
    {"os.fork", kNone, kChild},
    {"os.forkpty", kNone, kChild},
    {"os.posix_spawn", 0, kChild},
    {"os.spawn", 1, kChild},
    {"os.system", 0, kChild, ArgumentStyle::kCommand},
    {"pty.spawn", kNone, kChild},
    {"subprocess.Popen", 0, kChild},
    {"glob.glob", 0, kFile},
    {"glob.glob/2", 0, kFile},
    {"pathlib.Path.glob", 0, kFile},
    {"pathlib.Path.rglob", 0, kFile},
    {"shutil.chown", 0, kFile},
    {"shutil.copyfile", 0, kFile},
    {"shutil.copymode", 0, kFile},
    {"shutil.copystat", 0, kFile},
    {"shutil.copytree", 0, kFile},
    {"shutil.make_archive", 0, kFile},
    {"shutil.move", 0, kFile},
    {"shutil.rmtree", 0, kFile},
    {"shutil.unpack_archive", 0, kFile},
    {"tempfile.mkdtemp", 0, kFile},
    {"tempfile.mkstemp", 0, kFile},
    {"fcntl.fcntl", 0, kLock},
    {"fcntl.flock", 0, kLock},
    {"fcntl.ioctl", 0, kFile},
    {"fcntl.lockf", 0, kLock},
    {"mmap.__new__", 0, kFile},
    {"ctypes.dlopen", 0, kFile},
    {"socket.connect", 1, kSocket, ArgumentStyle::kHost},
    {"socket.getaddrinfo", 0, kNetwork, ArgumentStyle::kHost},
    {"socket.gethostbyaddr", 0, kNetwork, ArgumentStyle::kHost},
    {"socket.gethostbyname", 0, kNetwork, ArgumentStyle::kHost},
    {"socket.getnameinfo", 0, kNetwork, ArgumentStyle::kHost},
    {"socket.getservbyname", 0, kNetwork},
    {"socket.sendmsg", 1, kSocket, ArgumentStyle::kHost},
    {"socket.sendto", 1, kSocket, ArgumentStyle::kHost},
    {"sqlite3.connect", 0, kDatabase},
    {"http.client.connect", 1, kNetwork, ArgumentStyle::kHost},
    {"http.client.send", kNone, kSocket},
    {"urllib.Request", 0, kNetwork, ArgumentStyle::kUrl},
    {"ftplib.connect", 1, kNetwork, ArgumentStyle::kHost},
    {"ftplib.sendcmd", kNone, kSocket},
    {"imaplib.open", 1, kNetwork, ArgumentStyle::kHost},
    {"imaplib.send", kNone, kSocket},
    {"nntplib.connect", 1, kNetwork, ArgumentStyle::kHost},
    {"poplib.connect", 1, kNetwork, ArgumentStyle::kHost},
    {"poplib.putline", kNone, kSocket},
    {"smtplib.connect", 1, kNetwork, ArgumentStyle::kHost},
    {"smtplib.send", kNone, kSocket},
    {"telnetlib.Telnet.open", 1, kNetwork, ArgumentStyle::kHost},
    {"syslog.syslog", kNone, cause_bits(LS_CAUSE_NETWORK, LS_CAUSE_PIPE)},
    {"webbrowser.open", 0, kChild, ArgumentStyle::kUrl},
};

constexpr size_t kMaxArgument = 200;
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

bool sets_variable(std::string_view word) {
  size_t end = word.find('=');
  constexpr std::string_view kName =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789+";
  return end != std::string_view::npos && word.find_first_not_of(kName) == end;
}

// Without the variables set before it, which may be secrets; "" where it cannot be told.
std::string program_only(std::string_view command) {
  for (;;) {
    command.remove_prefix(std::min(command.find_first_not_of(" \t\n"), command.size()));
    std::string_view word = command.substr(0, command.find_first_of(" \t;|&<>\n"));
    if (word.find_first_of("'\"`$\\()") != std::string_view::npos) return "";
    if (!sets_variable(word)) return std::string(word.substr(word.rfind('/') + 1));
    command.remove_prefix(word.size());
  }
}

std::string bare_url(const std::string& url) {
  std::string text = url.substr(0, url.find_first_of("?#"));
  size_t host = text.find("://");
  if (host == std::string::npos) return text;
  host += 3;
  size_t end = std::min(text.find('/', host), text.size());
  if (end == text.size() && text.ends_with(kEllipsis)) return "";  // cut before its user ended
  size_t user = text.rfind('@', end);
  if (user != std::string::npos && user >= host) text.erase(host, user + 1 - host);
  return text;
}

const AuditEvent* find_event(const ls_call& call) {
  std::string_view name = fixed_string(call.event, sizeof(call.event));
  const auto* found = std::find_if(std::begin(kEvents), std::end(kEvents),
                                   [&](const AuditEvent& one) { return one.name == name; });
  return found == std::end(kEvents) ? nullptr : found;
}

// The text of an argument, as far as it is shown.
std::string shown_text(const ls_call& call, ArgumentStyle style) {
  std::string text;
  size_t shown = std::min<size_t>(call.length, LS_CALL_TEXT_SIZE);
  switch (call.kind) {
    case LS_ARGUMENT_TEXT: text = decode_text(call.state, call.length, std::span(call.text)); break;
    case LS_ARGUMENT_BYTES: {
      std::string_view bytes(reinterpret_cast<const char*>(call.text), shown);  // NOLINT
      text = clean_text(bytes, kMaxArgument);
      if (call.length > LS_CALL_TEXT_SIZE) text += kEllipsis;
      break;
    }
    default: return "";
  }
  if (style == ArgumentStyle::kCommand) return program_only(text);
  if (style == ArgumentStyle::kUrl) return bare_url(text);
  // urllib takes the user of a URL for a part of the host's name. A socket's path stays as it is.
  if (style == ArgumentStyle::kHost && !text.starts_with('/')) text.erase(0, text.rfind('@') + 1);
  return text;
}

// The bytes of its text that are this call's: behind them an earlier one's are left.
size_t text_bytes(const ls_call& call) {
  if (call.kind != LS_ARGUMENT_TEXT && call.kind != LS_ARGUMENT_BYTES) return 0;
  size_t width = call.kind == LS_ARGUMENT_TEXT ? call.state >> 2 & 7 : 1;
  return std::min<size_t>(call.length * width, LS_CALL_TEXT_SIZE);
}

std::optional<std::string> describe_argument(const ls_call& call, ArgumentStyle style) {
  if (call.kind == LS_ARGUMENT_NUMBER) return std::to_string(call.number);
  std::string text = shown_text(call, style);
  if (text.empty()) return std::nullopt;
  if (call.number == 0) return text;
  return text.find(':') == std::string::npos ? fmt::format("{}:{}", text, call.number)
                                             : fmt::format("[{}]:{}", text, call.number);
}

}  // namespace

std::span<const AuditEvent> audit_events() { return kEvents; }

std::optional<CallReport> describe_call(const ls_call& call, uint32_t cause) {
  if (call.time_ns == 0) return std::nullopt;
  const AuditEvent* known = find_event(call);
  if (!known || (known->causes >> cause & 1) == 0) return std::nullopt;
  return CallReport{.event = std::string(known->name),
                    .argument = describe_argument(call, known->style)};
}

void hide_secrets(ls_probed& probed) {
  for (ls_call* call : {&probed.call, &probed.longest_call}) {
    const AuditEvent* known = find_event(*call);
    std::fill(std::begin(call->text) + text_bytes(*call), std::end(call->text), 0);
    if (known && known->style == ArgumentStyle::kPlain) continue;
    std::string text = known ? shown_text(*call, known->style) : "";
    std::fill(std::begin(call->text), std::end(call->text), 0);
    call->length = static_cast<uint32_t>(std::min<size_t>(text.size(), LS_CALL_TEXT_SIZE));
    std::copy_n(text.begin(), call->length, std::begin(call->text));
    call->kind = text.empty() ? LS_ARGUMENT_NONE : LS_ARGUMENT_BYTES;
  }
}

}  // namespace loopsight
