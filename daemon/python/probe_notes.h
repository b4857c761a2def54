// CPython's own probes as the notes of its file tell them (section .note.stapsdt, written by
// SystemTap's <sys/sdt.h>): which probe, where, behind which semaphore, and in which registers its
// arguments are. The notes may be anybody's bytes: every length is checked and capped.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/probe_site.h"
#include "daemon/python/elf_file.h"

namespace loopsight {

constexpr size_t kMaxNoteBytes = 256 << 10;
constexpr size_t kMaxProbeSites = 64;  // of one file; CPython 3.15 has about 15

struct ProbeNotes {
  std::vector<ProbeSite> sites;
  size_t unreadable = 0;  // sites of known probes whose arguments or address cannot be understood
};

// The sites of provider `python` in a section's bytes. `stapsdt_base` is the address of the
// section .stapsdt.base, 0 without one; addresses are translated through `segments`.
ProbeNotes parse_probe_notes(std::string_view notes, uint64_t stapsdt_base,
                             const std::vector<ElfSegment>& segments);

// One argument as a note spells it, for this processor: "-4@112(%rsp)", "8@%rbx", "8@$5". Nothing
// where it is of another form.
std::optional<ls_probe_argument> parse_probe_argument(std::string_view text);

}  // namespace loopsight
