// A recording through a pipeline.
#pragma once

#include "daemon/base/result.h"
#include "daemon/event/recording.h"
#include "daemon/pipeline.h"

namespace loopsight {

// Feeds all records and writes the summary; warns of what could not be read. `name` is for the
// warnings. Errors: a sink that takes no more, a length that cannot be.
Result<void> feed_recording(RecordingReader& recording, Pipeline& pipeline,
                            const std::string& name);

}  // namespace loopsight
