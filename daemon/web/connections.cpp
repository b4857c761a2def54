#include "daemon/web/connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <iterator>

namespace loopsight {
namespace {

std::string ipv4_key(const in_addr& address) {
  if ((ntohl(address.s_addr) >> 24) == 127) return "";
  std::array<char, INET_ADDRSTRLEN> text{};
  return inet_ntop(AF_INET, &address, text.data(), text.size());
}

}  // namespace

std::string address_key(const sockaddr* address) {
  if (address && address->sa_family == AF_INET)
    return ipv4_key(reinterpret_cast<const sockaddr_in*>(address)->sin_addr);
  if (!address || address->sa_family != AF_INET6) return "";
  in6_addr ipv6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&ipv6)) return "";
  if (IN6_IS_ADDR_V4MAPPED(&ipv6)) {
    in_addr ipv4{};
    std::memcpy(&ipv4, ipv6.s6_addr + 12, sizeof(ipv4));
    return ipv4_key(ipv4);
  }
  std::memset(ipv6.s6_addr + 8, 0, 8);  // one client has all of a /64
  std::array<char, INET6_ADDRSTRLEN> text{};
  return inet_ntop(AF_INET6, &ipv6, text.data(), text.size());
}

Connections::Handle Connections::open(int fd, const sockaddr* address, uint64_t now_ns) {
  std::string key = address_key(address);
  std::lock_guard lock(mutex_);
  if (!key.empty() && counts_[key] >= limits_.per_address) give_way(&key);
  if (size_ >= limits_.total) give_way(nullptr);
  peers_.push_back({.fd = fd, .address = key, .since_ns = now_ns});
  size_++;
  if (!key.empty()) counts_[key]++;
  return std::prev(peers_.end());
}

void Connections::touch(Handle peer, bool answering, uint64_t now_ns) {
  std::lock_guard lock(mutex_);
  peer->answering = answering;
  peer->since_ns = now_ns;
  peers_.splice(peers_.end(), peers_, peer);
}

// The longest silent one; one that is being answered only where there is no other.
void Connections::give_way(const std::string* address) {
  Handle chosen = peers_.end();
  for (auto peer = peers_.begin(); peer != peers_.end(); ++peer) {
    if (peer->closing || (address && peer->address != *address)) continue;
    if (chosen == peers_.end()) chosen = peer;
    if (peer->answering) continue;
    chosen = peer;
    break;
  }
  if (chosen != peers_.end()) shut_down(chosen);
}

// Its end is then found like any other's.
void Connections::shut_down(Handle peer) {
  shutdown(peer->fd, SHUT_RDWR);
  peer->closing = true;
  size_--;
  if (!peer->address.empty() && --counts_[peer->address] == 0) counts_.erase(peer->address);
}

void Connections::expire(uint64_t now_ns, uint64_t silent_ns) {
  std::lock_guard lock(mutex_);
  for (auto peer = peers_.begin(); peer != peers_.end(); ++peer)
    if (!peer->closing && !peer->answering && now_ns >= peer->since_ns + silent_ns) shut_down(peer);
}

void Connections::close(Handle peer) {
  std::lock_guard lock(mutex_);
  if (!peer->closing) {
    size_--;
    if (!peer->address.empty() && --counts_[peer->address] == 0) counts_.erase(peer->address);
  }
  peers_.erase(peer);
}

size_t Connections::size() const {
  std::lock_guard lock(mutex_);
  return size_;
}

}  // namespace loopsight
