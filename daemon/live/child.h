// The command that `trace` starts: stopped before its program runs until the probes are attached,
// and otherwise as its caller's shell would have started it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"

namespace loopsight {

// Another user whose command it is.
struct RunAs {
  uid_t user = 0;
  gid_t group = 0;
  std::string name;  // "" where it has none: then it is in no other group
  std::string home;
};

class Child {
 public:
  // Forks; the child waits for start(). Errors: the command is not found or not executable.
  static Result<Child> fork(const std::vector<std::string>& command,
                            const std::optional<RunAs>& user = std::nullopt);
  Child(Child&&) noexcept = default;
  Child& operator=(Child&&) noexcept = default;
  ~Child();  // a child that was never started is ended

  pid_t pid() const { return pid_; }
  // Lets it run its program. Errors: the program cannot be run after all.
  Result<void> start();
  void signal(int number) const;
  // Its exit status as a shell shows it (128 + signal where one ended it), once it has ended.
  std::optional<int> reap();

 private:
  Child(pid_t pid, std::string name, Fd go, Fd failed)
      : pid_(pid), name_(std::move(name)), go_(std::move(go)), failed_(std::move(failed)) {}
  pid_t pid_ = -1;
  std::string name_;
  Fd go_;      // a byte written here starts it
  Fd failed_;  // the errno of a failed exec arrives here
  bool started_ = false;
  std::optional<int> status_;
};

}  // namespace loopsight
