// Who is connected, and for how long each has been silent. Where the limit is reached the one that
// has been silent for longest gives way, so that idle or half-open connections never keep a new
// client from being served; and one whose request has not come within its time is shut down, too
// (the library's own time-out does not see a TLS handshake that stands still, nor a header that
// drips in).
//
// A descriptor is shut down under the lock under which close() forgets it, before the library
// closes it: it is never another's by then.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "daemon/web/tls.h"

namespace loopsight {

struct ConnectionLimits {
  size_t total = 256;
  size_t per_address = 32;  // an IPv6 client's address is its /64; loopback has no limit of its own
};

struct Peer {
  int fd = -1;
  std::string address;     // what per_address counts by; "" for loopback and local sockets
  bool answering = false;  // a request is being answered
  bool closing = false;    // shut down already
  uint64_t since_ns = 0;   // of the last thing that it did
  std::shared_ptr<const TlsCredentials> tls;  // what its handshake was begun with
};

// What `per_address` counts by.
std::string address_key(const sockaddr* address);

class Connections {
 public:
  using Handle = std::list<Peer>::iterator;

  explicit Connections(ConnectionLimits limits = {}) : limits_(limits) {}

  // Makes room for the new one by shutting another down where a limit is reached.
  Handle open(int fd, const sockaddr* address, uint64_t now_ns);
  void touch(Handle peer, bool answering, uint64_t now_ns);  // its request is in, its answer is out
  void close(Handle peer);
  // Shuts those down that have been silent for longer than this.
  void expire(uint64_t now_ns, uint64_t silent_ns);

  size_t size() const;  // without those that were shut down

 private:
  void give_way(const std::string* address);
  void shut_down(Handle peer);

  ConnectionLimits limits_;
  mutable std::mutex mutex_;
  std::list<Peer> peers_;  // the longest silent first
  std::map<std::string, size_t> counts_;
  size_t size_ = 0;
};

}  // namespace loopsight
