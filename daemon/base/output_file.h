// The one way to open a file for writing what was seen of other people's processes: nobody but its
// owner (and, where asked for, its group) can read or change it, whatever the umask is and whatever
// is at that place already.
#pragma once

#include <sys/types.h>

#include <string>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"

namespace loopsight {

struct OutputFileOptions {
  mode_t mode = 0600;      // the most that it allows; one of ours that allows more is tightened
  bool append = false;     // else what is in it goes
  bool only_file = false;  // no FIFO, no device, and no symbolic link anywhere
};

// Follows a symbolic link only in a folder that nobody else may write to (/dev/stdout). Errors,
// with nothing about what to do instead: it cannot be opened, is somebody else's, or is a link that
// somebody else may have put there.
Result<Fd> open_output_file(const std::string& path, const OutputFileOptions& options);

}  // namespace loopsight
