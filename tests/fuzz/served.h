// What the daemon serves, of a recording with stalls; whether also what may wait for its answer.
#pragma once

#include <fstream>
#include <iterator>

#include "daemon/event/recording.h"
#include "daemon/pipeline.h"
#include "daemon/profile/profile_window.h"
#include "daemon/sink/metrics.h"
#include "daemon/sink/publication.h"
#include "daemon/web/api.h"
#include "daemon/web/endpoints.h"
#include "daemon/web/page.h"
#include "daemon/web/profile.h"
#include "tests/fuzz/target.h"

namespace loopsight::fuzz {

class Served {
 public:
  Served() {
    auto recording = RecordingReader::open(LOOPSIGHT_RECORDINGS "/zoo-uvloop.lsrec");
    require(recording.has_value(), "a recording");
    Pipeline pipeline(recording->header().threshold_ns, {&publication_, &window_});
    auto read =
        recording->read([&](std::span<const std::byte> bytes) { (void)pipeline.feed(bytes); });
    require(read.has_value(), "the recording's records");
    publication_.publish({.totals = pipeline.totals(),
                          .loops = pipeline.loops().lines(),
                          .threshold_ns = 50'000'000,
                          .ready = true});
  }

  Routes routes(bool waiting) const {
    Routes routes;
    add_endpoints(routes, publication_, metrics_);
    add_api(routes, publication_, "1.0");
    add_page(routes);
    if (waiting) add_profile(routes, window_);
    return routes;
  }

 private:
  Publication publication_{WallClock::fixed(0), "host"};
  ProfileWindow window_{WallClock::fixed(0)};
  Metrics metrics_{publication_, "1.0"};
};

}  // namespace loopsight::fuzz
