#include "daemon/python/process_reader.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "daemon/event/workload_name.h"
#include "daemon/host/cgroup.h"
#include "daemon/host/cgroup_levels.h"
#include "daemon/host/container_names.h"
#include "daemon/host/proc.h"
#include "daemon/python/application.h"
#include "daemon/python/program_place.h"
#include "daemon/python/python_layout.h"

namespace loopsight {
namespace {

constexpr char kTakesTooLong[] =
    "reading it does not come back (a mount whose server is gone, or memory that is held back)";

// musl's C library and dynamic loader are one file: /lib/ld-musl-x86_64.so.1 on Alpine, on Debian
// what that links to.
bool is_musl(std::string_view path) {
  return base_name(path).starts_with("ld-musl") || path.ends_with("-linux-musl/libc.so");
}

// The name of the container or unit around a process, "" without one.
std::string outer_name(const ProcessFacts& facts) {
  WorkloadName name = workload_of(facts);
  return name.source == WorkloadSource::kArgv ? "" : name.text;
}

ProcessFacts read_facts(PythonFiles& files, ProcessNames& process_names, CgroupLevels& levels,
                        const std::string& proc_root, uint32_t tgid) {
  ProcessFacts facts;
  facts.tgid = tgid;
  auto start = read_start_ticks(proc_root, tgid);
  if (!start) {
    facts.why_not = "no such process";
    return facts;
  }
  facts.start_ticks = *start;
  std::string directory = fmt::format("{}/{}/", proc_root, tgid);
  std::string comm = read_proc_file(directory + "comm", 64).value_or("");
  if (comm.ends_with('\n')) comm.pop_back();
  facts.comm = comm;
  auto mappings = read_mappings(proc_root, tgid);
  if (mappings.empty()) {
    facts.why_not = "its memory map cannot be read (a kernel thread, or gone)";
    return facts;
  }
  auto python = files.find(tgid, mappings);
  if (!python) {
    facts.why_not = "no CPython interpreter among its mapped files";
    return facts;
  }
  const PythonFile& file = python->file;
  facts.python = file.version;
  facts.is_python = file.minor >= kOldestMinor && file.minor <= kNewestMinor;
  if (!facts.is_python)
    facts.why_not = fmt::format("CPython {} is not supported (3.{} to 3.{} are)", file.version,
                                kOldestMinor, kNewestMinor);
  facts.application = find_application(proc_root, tgid);
  std::string cgroup = read_proc_file(directory + "cgroup", 65536).value_or("");
  Placement placement = parse_cgroup(
      cgroup, [&](auto controllers, auto path) { return levels.named_by_root(controllers, path); });
  facts.container = placement.container;
  facts.unit = placement.unit;
  ContainerNames names = find_container_names(proc_root, tgid, placement);
  facts.container_name = names.workload;
  facts.pod = names.pod;
  ProcessNames::Found found = process_names.find(tgid, outer_name(facts), cgroup);
  facts.program = found.program;
  facts.configured_name = found.configured;
  return facts;
}

Result<ls_python> read_layout(PythonFiles& files, const std::string& proc_root, uint32_t tgid) {
  auto mappings = read_mappings(proc_root, tgid);
  auto python = files.find(tgid, mappings);
  if (!python) return failure("no interpreter found");
  const PythonFile& file = python->file;
  if (file.code_type == 0) return failure("its interpreter does not export PyCode_Type");
  auto layout = python_layout(file.minor, file.debug_offsets);
  if (!layout) return layout;
  layout->runtime = python->base + file.runtime;
  layout->code_type = python->base + file.code_type;
  if (file.function_type != 0) layout->function_type = python->base + file.function_type;
  if (file.method_type != 0) layout->method_type = python->base + file.method_type;
  std::string asyncio = file.asyncio_debug;
  for (const Mapping& mapping : mappings) {
    std::string_view name = base_name(mapping.path);
    if (is_musl(mapping.path)) layout->flags |= LS_PYTHON_MUSL;
    if (asyncio.empty() && file.minor >= 14 && name.starts_with("_asyncio."))
      asyncio = files.read_asyncio_debug(tgid, mapping);
  }
  set_asyncio_offsets(*layout, asyncio);
  return layout;
}

}  // namespace

// Reads with the files that are known, on the reader's thread. One that is given up may still use
// them, so they are left to it.
template <typename Read>
auto ProcessReader::bounded(uint32_t tgid, Read work) {
  uint64_t given_up = reads_->given_up();
  auto value = reads_->of(tgid, [files = files_, root = proc_root_, tgid, work = std::move(work)] {
    return work(*files, root, tgid);
  });
  if (reads_->given_up() != given_up) files_ = std::make_shared<PythonFiles>(proc_root_);
  return value;
}

ProcessFacts ProcessReader::read(uint32_t tgid) {
  auto facts = bounded(tgid, [names = names_, levels = levels_](
                                 PythonFiles& files, const std::string& proc_root, uint32_t pid) {
    return read_facts(files, *names, *levels, proc_root, pid);
  });
  if (facts) return *facts;
  ProcessFacts unknown;
  unknown.tgid = tgid;
  unknown.start_ticks = read_start_ticks(proc_root_, tgid).value_or(0);
  unknown.unread = true;
  unknown.why_not = kTakesTooLong;
  return unknown;
}

std::optional<PythonFiles::Found> ProcessReader::find_python(uint32_t tgid) {
  auto found = bounded(tgid, [](PythonFiles& files, const std::string& proc_root, uint32_t pid) {
    return files.find(pid, read_mappings(proc_root, pid));
  });
  return found ? *found : std::nullopt;
}

Fd ProcessReader::reopen_python(uint32_t tgid, const PythonFiles::Found& found) {
  auto fd = bounded(tgid, [found](PythonFiles& files, const std::string&, uint32_t pid) {
    return files.reopen(pid, found);
  });
  return fd ? std::move(*fd) : Fd();
}

Result<ls_python> ProcessReader::layout(uint32_t tgid) {
  auto layout = bounded(tgid, read_layout);
  return layout ? *layout : failure(kTakesTooLong);
}

}  // namespace loopsight
