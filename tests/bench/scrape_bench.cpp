// What a scrape of a large host costs: 300 workloads with 4 workers each, unless told otherwise.
//
//   scrape_bench [WORKLOADS [WORKERS]]
#include <fmt/format.h>
#include <prometheus/metric_family.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string>

#include "daemon/sink/metrics.h"
#include "tests/bench/many_workloads.h"

namespace {

constexpr int kRuns = 5;

// The median of some runs, in milliseconds.
template <typename Function>
double measure(Function function) {
  std::array<double, kRuns> times{};
  for (double& time : times) {
    auto begin = std::chrono::steady_clock::now();
    function();
    time =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }
  std::sort(times.begin(), times.end());
  return times[kRuns / 2];
}

}  // namespace

int main(int argc, char** argv) {
  using namespace loopsight;
  auto argument = [&](int i, uint32_t otherwise) {
    return argc > i ? static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10)) : otherwise;
  };
  uint32_t workloads = argument(1, 300);
  uint32_t workers = argument(2, 4);
  Snapshot snapshot;
  snapshot.totals = many_workloads(workloads, workers, 40);
  Publication publication(WallClock::fixed(0), "host", {.stalls = 1});
  double publish = measure([&] { publication.publish(Snapshot(snapshot)); });
  Metrics metrics(publication, "0");
  double collect = measure([&] { (void)metrics.Collect(); });
  std::string page;
  double whole = measure([&] { page = metrics_page(metrics); });
  auto lines = std::count(page.begin(), page.end(), '\n');
  fmt::print("{} workloads x {} workers: {} lines, {:.1f} MB\n", workloads, workers, lines,
             static_cast<double>(page.size()) / 1e6);
  fmt::print("copy of the sums for the HTTP threads, once a second: {:.1f} ms\n", publish);
  fmt::print("collect: {:.0f} ms; collect and write the page: {:.0f} ms\n", collect, whole);
  return 0;
}
