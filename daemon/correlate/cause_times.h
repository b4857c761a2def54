// Sums of times by cause.
#pragma once

#include "daemon/correlate/stall.h"

namespace loopsight {

// As the kernel side counted them: of the CPU time `system_ns` passed in the kernel.
CauseTimes cause_times(const __u64 (&counted)[LS_PHASE_CAUSES], uint64_t system_ns);

// Makes the causes of a stall add up to its duration: what is missing is unknown, what is too much
// (it cannot be, unless a record is damaged) is taken from the largest. False where much was wrong.
bool balance(Stall& stall);

// What of `total` is not in `counted` yet, and is so from now on. Where less is of one cause than
// was counted, that much less is new of the others: the sum is right.
CauseTimes take_new(const CauseTimes& total, CauseTimes& counted);

}  // namespace loopsight
