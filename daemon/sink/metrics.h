// The metrics of /metrics, made anew at each scrape from the published snapshot, so that what has
// gone leaves no series behind.
#pragma once

#include <prometheus/collectable.h>

#include <string>
#include <vector>

#include "daemon/sink/publication.h"

namespace loopsight {

class Metrics : public prometheus::Collectable {
 public:
  Metrics(const Publication& publication, std::string version);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Publication& publication_;
  std::string version_;
  std::string kernel_;
};

// The text exposition format 0.0.4 of what `collectable` has now.
std::string metrics_page(const prometheus::Collectable& collectable);

}  // namespace loopsight
