// The names of the programs that processes run, held from the moment a process is first looked at:
// it may write a title over its command line, change its directory, or outlive its parent. A child
// that was forked, or that multiprocessing started, bears its parent's name.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/python/program_name.h"

namespace loopsight {

// What a rule for names may look at.
struct NamedProcess {
  std::string name;  // that it would have
  std::string
      command;  // its arguments with blanks between; the parent's for one that bears its name
  std::string exe;
  std::string cwd;
  uid_t uid = 0;
  std::string cgroup;  // the text of /proc/PID/cgroup
};

// The name that the configuration gives, "" where no rule speaks of this process.
using NamingRules = std::function<std::string(const NamedProcess&)>;

class ProcessNames {
 public:
  explicit ProcessNames(std::string proc_root) : proc_root_(std::move(proc_root)) {}

  struct Found {
    std::string program;     // never empty, "-c", or an interpreter's
    std::string configured;  // "" where no rule speaks of it
  };
  // May be called by a thread that reads while another one does. `outer` is the name of the
  // container or unit around it, "" without one.
  Found find(uint32_t tgid, const std::string& outer, const std::string& cgroup);

  void set_rules(NamingRules rules);
  void forget(uint32_t tgid);  // it has ended

 private:
  // Numbers that an exec changes and a fork does not.
  struct Image {
    uint64_t start_code = 0;
    uint64_t start_stack = 0;
    uint64_t arg_start = 0;
    bool is_known() const { return start_stack != 0 && arg_start != 0; }
    bool operator==(const Image&) const = default;
  };
  struct Process {
    uint32_t parent = 0;
    uint64_t start_ticks = 0;
    uid_t uid = 0;
    Image image;
  };
  struct Named {
    Process process;
    std::string program;
    std::string configured;
    uint64_t rules = 0;  // the number of the rules that configured is by
  };
  std::optional<Process> read_process(uint32_t tgid) const;
  ProgramLook look_at(uint32_t tgid) const;
  Named make(uint32_t tgid, const Process& process, const std::string& outer,
             const std::string& cgroup, int depth);
  std::optional<Named> named(uint32_t tgid, const std::string& outer, const std::string& cgroup,
                             int depth);
  std::optional<Named> known(uint32_t tgid, const Process& process);
  std::string told_apart(const ProgramName& name, uid_t uid);
  std::string configured(const ProgramLook& look, const Process& process, std::string name,
                         const std::string& cgroup);

  std::string proc_root_;
  std::mutex mutex_;  // of all below
  NamingRules rules_;
  uint64_t rules_number_ = 0;
  std::map<uint32_t, Named> named_;
  std::deque<uint32_t> order_;                                   // the first are forgotten first
  std::map<std::pair<uid_t, std::string>, std::string> places_;  // by user and name
  std::deque<std::pair<uid_t, std::string>> places_order_;
};

}  // namespace loopsight
