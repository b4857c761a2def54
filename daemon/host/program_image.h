// Which program a process runs, and with whose rights: what a source file may be read with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/fd.h"
#include "daemon/host/source_protocol.h"

namespace loopsight {

// Two looks at a process that are equal saw the same program with the same rights. An exec changes
// the numbers of its memory, which the kernel draws at random for each (for a set-uid program
// always), before it changes the rights: so rights that were read between two equal looks are those
// of that program.
struct ProgramImage {
  uint64_t start_ticks = 0;
  uint64_t start_code = 0;
  uint64_t end_code = 0;
  uint64_t start_stack = 0;
  uint64_t start_data = 0;
  uint64_t file_device = 0;
  uint64_t file_inode = 0;
  FileUser user;
  bool operator==(const ProgramImage&) const = default;
};

// By an open /proc/PID, which stays this process's, whoever is given the number later. Nothing for
// one that is gone, is just being replaced, or cannot be read.
std::optional<ProgramImage> read_image(const Fd& process);

// The parts, of text that a process may have a say in.
bool parse_image_stat(std::string_view stat, ProgramImage& image);
// `is_ours`: its user namespace is our own, so that its capabilities count.
bool parse_image_status(std::string_view status, bool is_ours, FileUser& user);

}  // namespace loopsight
