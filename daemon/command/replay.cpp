// `loopsight replay`: a recording through the same pipeline.
#include "daemon/command/commands.h"
#include "daemon/command/feed_recording.h"
#include "daemon/command/results.h"

namespace loopsight {

Result<int> replay(const ReplayConfig& config) {
  auto recording = RecordingReader::open(config.recording);
  if (!recording) return tl::make_unexpected(recording.error());
  const RecordingHeader& header = recording->header();
  auto output = open_output(config.output, config.format);
  if (!output) return tl::make_unexpected(output.error());
  auto sink =
      make_results_sink({.format = config.format,
                         .quiet = config.quiet,
                         .frames = config.frames,
                         .to_file = !config.output.empty()},
                        output->get(), WallClock::fixed(header.wall_offset_ns), header.host);
  Pipeline pipeline(header.threshold_ns, {sink.get()});
  if (auto fed = feed_recording(*recording, pipeline, config.recording); !fed)
    return tl::make_unexpected(fed.error());
  return 0;
}

}  // namespace loopsight
