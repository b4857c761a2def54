// Notes of CPython's own probes.
#include "daemon/python/probe_notes.h"

#include <asm/ptrace.h>

#include "tests/fuzz/target.h"

FUZZ_TARGET(probe_notes, input) {
  fuzz::Bytes bytes(input);
  std::vector<ElfSegment> segments(bytes.take<uint8_t>() % 4);
  for (ElfSegment& segment : segments) segment = bytes.take<ElfSegment>();
  auto base = bytes.take<uint64_t>();
  (void)parse_probe_argument(bytes.rest().substr(0, 64));
  ProbeNotes notes = parse_probe_notes(bytes.rest(), base, segments);
  fuzz::require(notes.sites.size() <= kMaxProbeSites, "a bounded number of sites");
  for (const ProbeSite& site : notes.sites) {
    fuzz::require(site.spec.arguments <= std::size(site.spec.argument), "its arguments");
    // The kernel's program reads registers by these.
    auto is_register = [](uint16_t at) { return at == LS_NO_REGISTER || at < sizeof(pt_regs); };
    for (const ls_probe_argument& one : site.spec.argument)
      fuzz::require(is_register(one.base) && is_register(one.index), "registers that there are");
  }
}
