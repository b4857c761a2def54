// A place in an interpreter's file where one of CPython's own probes (USDT) sits.
#pragma once

#include <cstdint>

#include "bpf/wire.h"

namespace loopsight {

struct ProbeSite {
  ls_probe_spec spec{};
  uint64_t offset = 0;     // of the site in the file
  uint64_t semaphore = 0;  // offset in the file of the counter that turns the probe on; 0: none
};

inline ls_probe_group group_of(uint32_t kind) {
  switch (kind) {
    case LS_PROBE_GC_START:
    case LS_PROBE_GC_DONE: return LS_GROUP_GC;
    case LS_PROBE_IMPORT_START:
    case LS_PROBE_IMPORT_DONE: return LS_GROUP_IMPORTS;
    case LS_PROBE_AUDIT: return LS_GROUP_AUDIT;
    default: return LS_GROUP_FUNCTIONS;
  }
}

// The groups' public names: of metrics, of the configuration and in logs.
constexpr const char* kProbeGroupNames[LS_GROUPS] = {"gc", "imports", "audit", "functions"};

}  // namespace loopsight
