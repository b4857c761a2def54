// Opens a source file by the path that a stranger gave, part by part, in a process that has the
// rights of the stranger's program and no others (source_server.h).
//
// Each part is opened without following it; a symbolic link is read and its text walked; ".." goes
// back to the directory that was come from. So nothing leads out of the directory where the walk
// began, whatever is renamed meanwhile, and no magic link of procfs is ever followed.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "daemon/base/fd.h"
#include "daemon/host/source_protocol.h"

namespace loopsight {

constexpr int64_t kMaxSourceFileBytes = 4 << 20;

// A file that was found, not yet open for reading.
struct FoundSource {
  Fd file;  // O_PATH
  struct stat status{};
  bool is_public = false;  // it and all directories on its way are open to everybody
};

// `path` starts at `base`. Absolute: `base` is the root that links and ".." stay in; relative: what
// leads above `base` is refused.
//
// Where a directory or link on the way belongs neither to root nor to `user`, or others may write
// to a directory that is not sticky, somebody else decides where the path leads. Then only what
// that one may read itself is found: what is public, or, where it is a single user, what is that
// user's own. So root's program in /home/alice may show alice's files but no link of hers to
// /etc/shadow, and a deployer's code shows no secret of the service that runs it.
tl::expected<FoundSource, SourceOutcome> find_source(int base, const std::string& path,
                                                     const FileUser& user);

// Opens what was found for reading, with all checks of a real open and no second look at the path.
// `proc` is a directory of the proc file system.
Fd open_found(int proc, const FoundSource& found);

// Whether everybody finds this very file at `host_path` below the host's root.
bool is_public_at(int host_root, const std::string& host_path, const FileUser& user,
                  const struct stat& status);

}  // namespace loopsight
