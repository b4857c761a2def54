// The file of a local socket (AF_UNIX) that the HTTP side listens on: its owner and one group may
// connect, nobody else, and nothing of others is replaced, followed or removed.
#pragma once

#include <sys/types.h>

#include <string>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"

namespace loopsight {

// Removes the file when it goes, if it is still the one that was made.
class SocketFile {
 public:
  SocketFile() = default;  // none
  SocketFile(SocketFile&&) = default;
  SocketFile& operator=(SocketFile&&) = default;
  ~SocketFile();

 private:
  friend class SocketMaker;
  Fd folder_;
  std::string name_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

struct LocalListener {
  Fd socket;
  SocketFile file;
};

// Listens at `path`, of mode 0660 and of `group` (a name or a number; "": the daemon's own). The
// folder must be ours or root's, and nobody else may write to it. Errors: something is there
// already that is no socket, is somebody else's, or is listened on; a symbolic link on the way.
Result<LocalListener> listen_locally(const std::string& path, const std::string& group);

}  // namespace loopsight
