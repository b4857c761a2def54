#include "daemon/host/source_channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "daemon/host/source_protocol.h"

namespace loopsight {
namespace {

constexpr size_t kMostDescriptors = 2;

bool wait_readable(int socket, int timeout_ms, bool* timed_out) {
  pollfd one{.fd = socket, .events = POLLIN, .revents = 0};
  int ready = 0;
  do ready = ::poll(&one, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  if (timed_out) *timed_out = ready == 0;
  return ready > 0;
}

}  // namespace

bool send_message(int socket, std::span<const std::byte> bytes) {
  return send_message(socket, bytes, -1, -1);
}

bool send_message(int socket, std::span<const std::byte> bytes, int base, int host_root) {
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  std::array<int, kMostDescriptors> given = {base, host_root};
  size_t size = (host_root >= 0 ? 2 : 1) * sizeof(int);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(given))> control{};
  if (base >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(size);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(rights), given.data(), size);
  }
  ssize_t sent = 0;
  do sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(bytes.size());
}

std::optional<SourceMessage> receive_message(int socket, int timeout_ms, bool* timed_out) {
  if (!wait_readable(socket, timeout_ms, timed_out)) return std::nullopt;
  SourceMessage message;
  message.bytes.resize(kMaxSourceMessage);
  iovec part{.iov_base = message.bytes.data(), .iov_len = message.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got <= 0) return std::nullopt;
  for (cmsghdr* one = CMSG_FIRSTHDR(&header); one; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::array<int, kMostDescriptors> given = {-1, -1};
    std::memcpy(given.data(), CMSG_DATA(one), std::min(count, given.size()) * sizeof(int));
    message.descriptors = {.base = Fd(given[0]), .host_root = Fd(given[1])};
  }
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) return std::nullopt;
  message.bytes.resize(static_cast<size_t>(got));
  return message;
}

std::optional<std::vector<std::byte>> receive_bytes(int socket, int timeout_ms, bool& timed_out) {
  if (!wait_readable(socket, timeout_ms, &timed_out)) return std::nullopt;
  std::vector<std::byte> bytes(kMaxSourceMessage);
  ssize_t got = recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got <= 0) return std::nullopt;
  bytes.resize(static_cast<size_t>(got));
  return bytes;
}

}  // namespace loopsight
