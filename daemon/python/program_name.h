// What a process runs, by its command line: the script, the module, or the application that a
// server of the table in server_programs.h was told to run. Of the arguments only what tells the
// program apart is taken: a value of any other option, and code given by -c, may be a secret.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace loopsight {

// What /proc shows of a process, as it gives it.
struct ProgramLook {
  std::string cmdline;  // NUL-separated arguments, or the title that the process wrote over them
  std::string exe;      // the program's file
  std::string cwd;      // "" where it cannot be read
  std::string input;    // what its standard input is
  std::function<std::string(std::string_view)> variable;  // of its environment; may be empty
};

struct ProgramName {
  enum class Kind {
    kNamed,
    kChild,     // started by multiprocessing or loky for their parent, whose name it bears
    kNameless,  // code by -c, or from a terminal or a pipe: where it runs is all that is known
  };
  Kind kind = Kind::kNameless;
  std::string before;      // "uvicorn "
  std::string core;        // "main:app", "main.py"
  std::string after;       // " worker"
  std::string place;       // where it lies or runs, see lasting_place(); "" where that says nothing
  bool is_common = false;  // the core alone does not tell it from others

  // The whole, with as much of the place as is needed, and `depth` folders more.
  std::string text(size_t depth = 0) const;
};

ProgramName name_program(const ProgramLook& look);

}  // namespace loopsight
