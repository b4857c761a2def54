// What systemd gets told of us, and what it hands over. Without systemd all of it does nothing.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"

namespace loopsight {

// The socket that was opened for us (loopsight.socket); no descriptor where there is none. Errors:
// more than one, or one that is no listening stream socket.
Result<Fd> take_socket();

class Supervisor {
 public:
  Supervisor();

  void ready(const std::string& status);
  // Says that we are alive. Call it where work was done, and nowhere else.
  void alive(const std::string& status);
  void reloading(uint64_t monotonic_ns);
  void stopping();

 private:
  void notify(const std::string& message);
  bool watched_ = false;  // a watchdog waits for alive()
};

}  // namespace loopsight
