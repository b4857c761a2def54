#include "daemon/sink/metrics.h"

#include <dirent.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <utility>

namespace loopsight {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<std::pair<std::string, std::string>>;

// Upper bounds in seconds of the buckets that ls_bucket (bpf/clock.bpf.h) counts into.
constexpr auto kBounds = [] {
  std::array<double, LS_MAX_BUCKETS - 1> bounds{};
  for (size_t i = 0; i < bounds.size(); i++)
    bounds[i] = static_cast<double>(kIterationBoundsUs[i]) / 1e6;
  return bounds;
}();
// And those of ls_gc_bucket (bpf/python.bpf.c).
constexpr std::array<double, LS_MAX_BUCKETS - 1> kGcBounds = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};
constexpr uint32_t kOtherWorker = 0xFFFFFFFF;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

std::string worker_label(uint32_t worker) {
  return worker == kOtherWorker ? "other" : std::to_string(worker);
}

ClientMetric labelled(const Labels& labels) {
  ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

class Families {
 public:
  void counter(const char* name, const char* help, const Labels& labels, double value) {
    ClientMetric metric = labelled(labels);
    metric.counter.value = value;
    add(name, help, MetricType::Counter, std::move(metric));
  }
  void gauge(const char* name, const char* help, const Labels& labels, double value) {
    ClientMetric metric = labelled(labels);
    metric.gauge.value = value;
    add(name, help, MetricType::Gauge, std::move(metric));
  }
  void histogram(const char* name, const char* help, const Labels& labels,
                 const std::array<uint64_t, LS_MAX_BUCKETS>& buckets, double sum,
                 const std::array<double, LS_MAX_BUCKETS - 1>& bounds = kBounds) {
    ClientMetric metric = labelled(labels);
    uint64_t cumulated = 0;
    for (size_t i = 0; i < buckets.size(); i++) {
      cumulated += buckets[i];
      double bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({.cumulative_count = cumulated, .upper_bound = bound});
    }
    metric.histogram.sample_count = cumulated;
    metric.histogram.sample_sum = sum;
    add(name, help, MetricType::Histogram, std::move(metric));
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  void add(const char* name, const char* help, MetricType type, ClientMetric metric) {
    for (MetricFamily& family : families_)
      if (family.name == name) {
        family.metric.push_back(std::move(metric));
        return;
      }
    families_.push_back({.name = name, .help = help, .type = type, .metric = {std::move(metric)}});
  }
  std::vector<MetricFamily> families_;
};

void add_worker(Families& families, const std::string& workload, uint32_t number,
                const WorkerTotals& worker) {
  Labels labels = {{"workload", workload}, {"worker", worker_label(number)}};
  uint64_t busy = 0;
  for (uint64_t ns : worker.busy) busy += ns;
  families.histogram("loopsight_loop_iteration_seconds",
                     "Length of the busy phases of event-loop iterations.", labels, worker.buckets,
                     seconds(busy));
  for (size_t cause = 0; cause < LS_CAUSES; cause++) {
    Labels with_cause = labels;
    with_cause.emplace_back("cause", kCauseNames[cause]);
    families.counter("loopsight_loop_busy_seconds_total",
                     "Time that event loops spent outside their poll call, by cause.", with_cause,
                     seconds(worker.busy[cause]));
  }
  families.counter("loopsight_loop_idle_seconds_total",
                   "Time that event loops spent inside their poll call.", labels,
                   seconds(worker.idle_ns));
  uint64_t waiting = worker.polls > worker.zero_polls ? worker.polls - worker.zero_polls : 0;
  for (auto [wait, count] : {std::pair{"yes", waiting}, std::pair{"no", worker.zero_polls}}) {
    Labels with_wait = labels;
    with_wait.emplace_back("wait", wait);
    families.counter("loopsight_loop_polls_total",
                     "Poll calls of event loops, by whether they were to wait.", with_wait,
                     static_cast<double>(count));
  }
  uint32_t ready = 0;
  for (const auto& [loop, count] : worker.ready) ready = std::max(ready, count);
  if (ready > 0)
    families.gauge("loopsight_loop_ready_callbacks",
                   "Callbacks of the iteration that was looked at last.", labels, ready);
  uint64_t stalled = 0;
  for (const auto& [loop, ns] : worker.stalled_ns) stalled = std::max(stalled, ns);
  families.gauge("loopsight_loop_stalled_seconds",
                 "Age of the running iteration where it is over the threshold, else 0.", labels,
                 seconds(stalled));
}

// Of workloads whose interpreter has told of collections by its own probes.
void add_gc(Families& families, const std::string& name, const WorkloadTotals& workload) {
  if (std::all_of(workload.gc.begin(), workload.gc.end(),
                  [](const GcTotals& one) { return one.ns == 0; }))
    return;
  for (size_t i = 0; i < workload.gc.size(); i++)
    families.histogram("loopsight_gc_pause_seconds",
                       "Length of garbage collections in event loops' threads.",
                       {{"workload", name}, {"generation", std::to_string(i)}},
                       workload.gc[i].buckets, seconds(workload.gc[i].ns), kGcBounds);
}

void add_probes(Families& families, const Snapshot& snapshot) {
  for (const OptionalProbeMetric& probe : snapshot.optional_probes) {
    Labels labels = {{"probe", probe.name}};
    families.counter("loopsight_probe_hits_total", "Hits of CPython's own probes.", labels,
                     static_cast<double>(probe.hits));
    families.counter("loopsight_probe_seconds_total",
                     "Measured cost of CPython's own probes, the traps included.", labels,
                     seconds(probe.cost_ns));
    for (const auto& [reason, count] : probe.shed)
      families.counter("loopsight_probe_shed_total",
                       "How often a probe was taken off because of its cost.",
                       {{"probe", probe.name}, {"reason", reason}}, static_cast<double>(count));
  }
}

void add_executors(Families& families, const std::string& name, const WorkloadTotals& workload) {
  PoolProgress sum;
  for (const auto& [tgid, pools] : workload.pools) {
    sum.busy += pools.busy;
    sum.idle += pools.idle;
    sum.queued += pools.queued;
  }
  constexpr const char* kThreads = "loopsight_executor_threads";
  constexpr const char* kHelp =
      "Threads of thread pools (concurrent.futures), by what they are at.";
  families.gauge(kThreads, kHelp, {{"workload", name}, {"state", "busy"}},
                 static_cast<double>(sum.busy));
  families.gauge(kThreads, kHelp, {{"workload", name}, {"state", "idle"}},
                 static_cast<double>(sum.idle));
  families.gauge("loopsight_executor_queued", "Jobs of thread pools that no thread has taken yet.",
                 {{"workload", name}}, static_cast<double>(sum.queued));
  families.counter("loopsight_executor_saturated_seconds_total",
                   "Time in which all threads of a pool were busy while jobs waited for over 1 s.",
                   {{"workload", name}}, seconds(workload.executor_saturated_ns));
}

void add_workload(Families& families, const std::string& name, const WorkloadTotals& workload) {
  for (const auto& [kind, count] : workload.loops)
    families.gauge("loopsight_loops", "Event loops that are watched.",
                   {{"workload", name}, {"loop", kind.first}, {"python", kind.second}}, count);
  for (const auto& [number, worker] : workload.workers) add_worker(families, name, number, worker);
  add_gc(families, name, workload);
  for (size_t cause = 0; cause < LS_CAUSES; cause++)
    families.counter("loopsight_stalls_total", "Busy phases over the threshold, by their cause.",
                     {{"workload", name}, {"cause", kCauseNames[cause]}},
                     static_cast<double>(workload.stalls[cause]));
  Labels labels = {{"workload", name}};
  families.histogram("loopsight_timer_lateness_seconds",
                     "How late the next timer of an event loop fired.", labels,
                     workload.late_buckets, seconds(workload.late_ns));
  families.counter("loopsight_delayed_events_total",
                   "Descriptors that became ready while a stall lasted, at most.", labels,
                   static_cast<double>(workload.delayed_events));
  families.counter("loopsight_delayed_event_seconds_total",
                   "How long they waited for the stall to end, at most.", labels,
                   seconds(workload.delayed_ns));
  families.counter("loopsight_gil_waits_total",
                   "How often event loops waited for the interpreter lock.", labels,
                   static_cast<double>(workload.gil_waits));
  for (const auto& [holder, ns] : workload.gil_wait_ns)
    families.counter("loopsight_gil_wait_seconds_total",
                     "Time that event loops waited for the interpreter lock, by who had it.",
                     {{"workload", name}, {"holder", holder}}, seconds(ns));
  for (const auto& [key, ns] : workload.stall_ns)
    families.counter(
        "loopsight_stall_seconds_total", "Length of the busy phases over the threshold.",
        {{"workload", name}, {"cause", kCauseNames[key.first]}, {"culprit", key.second}},
        seconds(ns));
  if (workload.has_executors) add_executors(families, name, workload);
}

void add_self(Families& families, const Snapshot& snapshot) {
  for (const auto& [probe, attached] : snapshot.probes)
    families.gauge("loopsight_probe_attached", "1 where the probe is attached.", {{"probe", probe}},
                   attached ? 1 : 0);
  add_probes(families, snapshot);
  for (const ProgramCostMetric& program : snapshot.programs) {
    families.counter("loopsight_bpf_runs_total", "Runs of our BPF programs.",
                     {{"program", program.program}}, static_cast<double>(program.runs));
    families.counter("loopsight_bpf_run_seconds_total", "Time spent in our BPF programs.",
                     {{"program", program.program}}, seconds(program.run_time_ns));
  }
  families.gauge("loopsight_config_last_reload_successful",
                 "1 where the newest try to read the configuration succeeded.", {},
                 snapshot.config_is_current ? 1 : 0);
  families.gauge("loopsight_config_last_reload_success_timestamp_seconds",
                 "When the configuration was last read.", {}, snapshot.config_read_seconds);
  for (const auto& [reason, count] : snapshot.lost)
    families.counter("loopsight_events_lost_total", "Kernel records and state that did not fit.",
                     {{"reason", reason}}, static_cast<double>(count));
  for (const auto& [reason, count] : snapshot.discarded)
    families.counter("loopsight_discarded_total", "What was left out on purpose, by reason.",
                     {{"reason", reason}}, static_cast<double>(count));
  for (const auto& [reason, count] : snapshot.refused)
    families.counter("loopsight_http_refused_total", "HTTP requests that were refused, by reason.",
                     {{"reason", reason}}, static_cast<double>(count));
}

size_t count_open_fds() {
  size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (directory && readdir(directory)) count++;
  if (directory) closedir(directory);
  return count > 3 ? count - 3 : 0;  // ".", ".." and the directory itself
}

// The standard metrics of a process, as every exporter has them.
void add_process(Families& families) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto time = [](const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
  };
  families.counter("process_cpu_seconds_total", "User and system CPU time spent.", {},
                   time(usage.ru_utime) + time(usage.ru_stime));
  uint64_t virtual_pages = 0;
  uint64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages;
  auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  families.gauge("process_virtual_memory_bytes", "Virtual memory size.", {},
                 static_cast<double>(virtual_pages) * page);
  families.gauge("process_resident_memory_bytes", "Resident memory size.", {},
                 static_cast<double>(resident_pages) * page);
  families.gauge("process_open_fds", "Open file descriptors.", {},
                 static_cast<double>(count_open_fds()));
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  families.gauge("process_max_fds", "Most file descriptors that may be open.", {},
                 static_cast<double>(limit.rlim_cur));
  static const double start = [] {
    std::ifstream stat("/proc/self/stat");
    std::string field;
    double ticks = 0;
    for (int i = 1; i <= 22 && stat >> field; i++)
      if (i == 22) ticks = std::stod(field);
    timespec boot{};
    timespec wall{};
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &wall);
    auto to_seconds = [](const timespec& value) {
      return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_nsec) / 1e9;
    };
    return to_seconds(wall) - to_seconds(boot) + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  }();
  families.gauge("process_start_time_seconds", "Start time since the Unix epoch.", {}, start);
}

}  // namespace

Metrics::Metrics(const Publication& publication, std::string version)
    : publication_(publication), version_(std::move(version)) {
  utsname kernel{};
  if (uname(&kernel) == 0) kernel_ = kernel.release;
}

std::vector<MetricFamily> Metrics::Collect() const {
  auto begin = std::chrono::steady_clock::now();
  auto snapshot = publication_.snapshot();
  Families families;
  families.gauge("loopsight_build_info", "Version of loopsight and of the kernel.",
                 {{"version", version_}, {"kernel", kernel_}}, 1);
  for (const auto& [name, workload] : snapshot->totals.workloads())
    add_workload(families, name, workload);
  add_self(families, *snapshot);
  add_process(families);
  std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  families.gauge("loopsight_scrape_duration_seconds", "Time taken to gather these metrics.", {},
                 taken.count());
  return families.take();
}

std::string metrics_page(const prometheus::Collectable& collectable) {
  prometheus::TextSerializer serializer;
  std::ostringstream page;
  serializer.Serialize(page, collectable.Collect());
  return page.str();
}

}  // namespace loopsight
