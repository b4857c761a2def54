// Each cause as a letter and a colour. The letters carry it alone where there is no colour.
#pragma once

#include <array>
#include <cstddef>

#include "bpf/wire.h"
#include "daemon/top/top_screen.h"

namespace loopsight {

// In the order of enum ls_cause.
constexpr std::array<char, LS_CAUSES> kCauseLetters = {'c', 'g', 'i', 'k', 'l', 's', 'n', 'd', 'p',
                                                       'u', 'f', 'r', 't', 'x', 'o', '?', 'y'};

constexpr char cause_letter(size_t cause) { return kCauseLetters[cause]; }

constexpr Style cause_style(size_t cause) {
  switch (cause) {
    case LS_CAUSE_CPU: return Style::kCpu;
    case LS_CAUSE_RUN_QUEUE:
    case LS_CAUSE_THROTTLED:
    case LS_CAUSE_STOPPED:
    case LS_CAUSE_PAGE_FAULT: return Style::kHost;
    case LS_CAUSE_UNKNOWN: return Style::kDim;
    default: return Style::kCode;
  }
}

}  // namespace loopsight
