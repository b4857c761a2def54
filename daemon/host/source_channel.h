// Datagrams with descriptors between the daemon and the reader of source files.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "daemon/base/fd.h"

namespace loopsight {

struct Descriptors {
  Fd base;       // the directory that the path starts at
  Fd host_root;  // may be none
};
struct SourceMessage {
  std::vector<std::byte> bytes;
  Descriptors descriptors;
};

// False: nobody reads it any more, or its buffer is full.
bool send_message(int socket, std::span<const std::byte> bytes);
bool send_message(int socket, std::span<const std::byte> bytes, int base, int host_root);

// One message, waiting up to `timeout_ms` (-1: for ever). Nothing when the other end has been
// closed, at the time's end, or for one that is too long.
std::optional<SourceMessage> receive_message(int socket, int timeout_ms, bool* timed_out = nullptr);
// The same without descriptors: the kernel closes any that come.
std::optional<std::vector<std::byte>> receive_bytes(int socket, int timeout_ms, bool& timed_out);

}  // namespace loopsight
