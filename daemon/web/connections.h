// Who is connected, and for how long each has been silent. Where the limit is reached the one that
// has been silent for longest gives way, so that idle or half-open connections never keep a new
// client from being served. Used by the connections' thread alone.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <list>
#include <map>
#include <memory>
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
  bool closing = false;    // had to give way
  std::shared_ptr<const TlsCredentials> tls;  // what its handshake was begun with
};

// What `per_address` counts by.
std::string address_key(const sockaddr* address);

class Connections {
 public:
  using Handle = std::list<Peer>::iterator;

  explicit Connections(ConnectionLimits limits = {}) : limits_(limits) {}

  // Makes room for the new one by shutting another down where a limit is reached.
  Handle open(int fd, const sockaddr* address);
  void touch(Handle peer, bool answering);  // its request is in, or its answer is out
  void close(Handle peer);

  size_t size() const { return size_; }  // without those that had to give way

 private:
  void give_way(const std::string* address);

  ConnectionLimits limits_;
  std::list<Peer> peers_;  // the longest silent first
  std::map<std::string, size_t> counts_;
  size_t size_ = 0;
};

}  // namespace loopsight
