// The commands. Each returns the exit status, or the error that becomes exit status 1.
#pragma once

#include "daemon/base/result.h"
#include "daemon/command/options.h"

namespace loopsight {

Result<int> trace(const TraceConfig& config);  // also `record`
Result<int> run(const RunConfig& config);
Result<int> check(const CheckConfig& config);
Result<int> replay(const ReplayConfig& config);
Result<int> report(const ReportConfig& config);
Result<int> dump(const DumpConfig& config);
Result<int> top(const TopConfig& config);

}  // namespace loopsight
