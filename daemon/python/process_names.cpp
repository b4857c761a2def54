#include "daemon/python/process_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "daemon/host/proc.h"
#include "daemon/python/program_place.h"

namespace loopsight {
namespace {

constexpr size_t kMaxCommandLine = 4096;
constexpr size_t kMaxEnvironment = 128 << 10;
constexpr size_t kMaxNamed = 8192;
constexpr size_t kMaxPlaces = 4096;
constexpr size_t kMaxBytes = 120;  // of a name
constexpr size_t kMaxDepth = 3;    // folders more, to tell two apart
constexpr int kMaxParents = 16;
constexpr uid_t kNobody = 65534;  // where it cannot be told

std::string digits_of(std::string_view text) {
  uint32_t hash = 2166136261;  // FNV-1a
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return fmt::format("{:08x}", hash).substr(0, 6);
}

// Two long names that differ in their ends stay two.
std::string bounded(std::string name) {
  if (name.size() <= kMaxBytes) return name;
  return name.substr(0, kMaxBytes - 7) + "~" + digits_of(name);
}

std::string variable_of(const std::string& environment, std::string_view name) {
  std::string_view rest = environment;
  while (!rest.empty()) {
    std::string_view entry = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('='))
      return std::string(entry.substr(name.size() + 1));
  }
  return "";
}

uid_t real_uid(std::string_view status) {
  uid_t uid = kNobody;
  if (size_t at = status.find("\nUid:\t"); at != std::string_view::npos) {
    status.remove_prefix(at + 6);
    std::from_chars(status.data(), status.data() + status.size(), uid);
  }
  return uid;
}

// Whether the kernel draws the addresses of its memory at random, so that no two programs have the
// same ones.
bool is_randomized(std::string_view personality) {
  constexpr uint32_t kNoRandom = 0x0040000;
  uint32_t flags = 0;
  auto parsed =
      std::from_chars(personality.data(), personality.data() + personality.size(), flags, 16);
  return parsed.ec == std::errc() && !(flags & kNoRandom);
}

// Whether multiprocessing, which starts the interpreter that it runs in, may have started `child`.
bool may_be_parent(const ProgramLook& parent, const ProgramLook& child) {
  return parent.exe == child.exe || base_name(parent.exe).starts_with("python");
}

}  // namespace

std::optional<ProcessNames::Process> ProcessNames::read_process(uint32_t tgid) const {
  std::string path = fmt::format("{}/{}", proc_root_, tgid);
  auto text = read_proc_file(path + "/stat", 4096);
  size_t name_end = text ? text->rfind(')') : std::string::npos;
  if (name_end == std::string::npos || name_end + 2 > text->size()) return std::nullopt;
  std::array<uint64_t, 53> fields{};  // as proc(5) counts them
  std::string_view rest = std::string_view(*text).substr(name_end + 2);
  for (size_t field = 3; field < fields.size() && !rest.empty(); field++) {
    std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    std::from_chars(word.data(), word.data() + word.size(), fields[field]);
  }
  Process process{.parent = static_cast<uint32_t>(fields[4]),
                  .start_ticks = fields[22],
                  .uid = real_uid(read_proc_file(path + "/status", 8192).value_or(""))};
  if (is_randomized(read_proc_file(path + "/personality", 16).value_or("")))
    process.image = {fields[26], fields[28], fields[48]};
  return process;
}

ProgramLook ProcessNames::look_at(uint32_t tgid) const {
  std::string path = fmt::format("{}/{}/", proc_root_, tgid);
  ProgramLook look{
      .cmdline = read_proc_file(path + "cmdline", kMaxCommandLine).value_or(""),
      .exe = read_link(proc_root_, tgid, "exe"),
      .cwd = read_link(proc_root_, tgid, "cwd"),
      .input = read_descriptor(proc_root_, tgid, 0),
      .variable =
          [path](std::string_view name) {
            return variable_of(read_proc_file(path + "environ", kMaxEnvironment).value_or(""),
                               name);
          },
  };
  constexpr std::string_view kDeleted = " (deleted)";
  for (std::string* one : {&look.exe, &look.cwd, &look.input})
    if (one->ends_with(kDeleted)) one->resize(one->size() - kDeleted.size());
  return look;
}

// The name with as many folders as it takes to tell it from another one of the same user that lies
// elsewhere. Who came first keeps the short name.
std::string ProcessNames::told_apart(const ProgramName& name, uid_t uid) {
  std::string text = name.text();
  if (name.place.empty()) return text;
  for (size_t depth = 0;; depth++) {
    text = depth <= kMaxDepth
               ? name.text(depth)
               : fmt::format("{} {}", name.text(), digits_of(name.place + "/" + name.core));
    std::scoped_lock lock(mutex_);
    auto [place, is_new] = places_.try_emplace({uid, text}, name.place);
    if (!is_new && place->second != name.place && depth <= kMaxDepth) continue;
    if (is_new) places_order_.emplace_back(uid, text);
    if (places_order_.size() > kMaxPlaces) {
      places_.erase(places_order_.front());
      places_order_.pop_front();
    }
    return text;
  }
}

std::string ProcessNames::configured(const ProgramLook& look, const Process& process,
                                     std::string name, const std::string& cgroup) {
  NamingRules rules;
  {
    std::scoped_lock lock(mutex_);
    rules = rules_;
  }
  if (!rules) return "";
  std::string command = look.cmdline;
  while (command.ends_with('\0')) command.pop_back();
  std::replace(command.begin(), command.end(), '\0', ' ');
  return rules({.name = std::move(name),
                .command = std::move(command),
                .exe = look.exe,
                .cwd = look.cwd,
                .uid = process.uid,
                .cgroup = cgroup});
}

std::optional<ProcessNames::Named> ProcessNames::known(uint32_t tgid, const Process& process) {
  if (!process.image.is_known()) return std::nullopt;
  std::scoped_lock lock(mutex_);
  auto found = named_.find(tgid);
  if (found == named_.end() || found->second.process.start_ticks != process.start_ticks ||
      found->second.process.image != process.image)
    return std::nullopt;
  return found->second;
}

ProcessNames::Named ProcessNames::make(uint32_t tgid, const Process& process,
                                       const std::string& outer, const std::string& cgroup,
                                       int depth) {
  Named result{.process = process};
  ProgramLook look = look_at(tgid);
  ProgramName name = name_program(look);
  // A fork without exec runs its parent's program still.
  auto parent = process.parent > 1 ? read_process(process.parent) : std::nullopt;
  bool is_fork = parent && process.image.is_known() && parent->image == process.image;
  bool is_child = parent && name.kind == ProgramName::Kind::kChild &&
                  may_be_parent(look_at(process.parent), look);
  if ((is_fork || is_child) && depth < kMaxParents)
    if (auto from = named(process.parent, outer, cgroup, depth + 1)) {
      result.program = from->program;
      result.configured = from->configured;
      return result;
    }
  if (name.kind == ProgramName::Kind::kChild) {  // its parent has ended
    name.core = "<string>";
    name.place = lasting_place(look.cwd);
    name.is_common = true;
  }
  result.program = bounded(told_apart(name, process.uid));
  result.configured = configured(look, process, outer.empty() ? result.program : outer, cgroup);
  return result;
}

std::optional<ProcessNames::Named> ProcessNames::named(uint32_t tgid, const std::string& outer,
                                                       const std::string& cgroup, int depth) {
  auto process = read_process(tgid);
  if (!process) return std::nullopt;
  auto before = known(tgid, *process);
  uint64_t rules_number = 0;
  {
    std::scoped_lock lock(mutex_);
    rules_number = rules_number_;
  }
  if (before && before->rules == rules_number) return before;
  Named result = make(tgid, *process, outer, cgroup, depth);
  if (before) result.program = before->program;  // the rules are new, not the program
  result.rules = rules_number;
  std::scoped_lock lock(mutex_);
  if (named_.insert_or_assign(tgid, result).second) order_.push_back(tgid);
  while (order_.size() > kMaxNamed) {
    named_.erase(order_.front());
    order_.pop_front();
  }
  return result;
}

ProcessNames::Found ProcessNames::find(uint32_t tgid, const std::string& outer,
                                       const std::string& cgroup) {
  auto found = named(tgid, outer, cgroup, 0);
  return found ? Found{found->program, found->configured} : Found{"<string>", ""};
}

void ProcessNames::set_rules(NamingRules rules) {
  std::scoped_lock lock(mutex_);
  rules_ = std::move(rules);
  rules_number_++;
}

void ProcessNames::forget(uint32_t tgid) {
  std::scoped_lock lock(mutex_);
  if (named_.erase(tgid) > 0) std::erase(order_, tgid);
}

}  // namespace loopsight
