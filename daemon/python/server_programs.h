// Programs that run others: servers, task queues, launchers. One row a program says how its command
// line names what it runs, so that two services under one server are two workloads. Add a row to
// server_programs.cpp for another one.
#pragma once

#include <string_view>

namespace loopsight {

// How a process title (setproctitle) names the application.
enum class TitleForm {
  kNone,        // the title's first word is all
  kInBrackets,  // "gunicorn: worker [shop:app]"
  kLastWord,    // "granian asgi 127.0.0.1:80 shop:app worker-1": the last that names an application
  kInArguments,  // "[celeryd: celery@host:MainProcess] -active- (-A shop worker)"
  kTwoWords,     // "dask worker [tcp://10.0.0.1:8786]"
};

struct ServerProgram {
  // What the script or module is called, all of the same kind parted by blanks.
  std::string_view names;
  // Its arguments without a dash, in their order; those that follow are not looked at:
  //   APP      the application that it runs: module, module:attribute, or a file
  //   COMMAND  what it is to do; shown, unless it is "run", "serve" or the like
  //   PROGRAM  another program with its arguments, which is what is named
  std::string_view arguments;
  // Options whose value names the application.
  std::string_view options = "";
  // Options without a value. One that stands nowhere here is taken to have one, which is passed
  // over: it may be a secret. (What begins with --no- has none, nor has anything with "=".)
  std::string_view flags = "";
  // The variable of the environment that names the application where no argument does.
  std::string_view variable = "";
  // What a title begins with.
  std::string_view title = "";
  TitleForm title_form = TitleForm::kNone;
};

// Null for any other program. `name` is the base name of a script, or a module.
const ServerProgram* find_server_program(std::string_view name);
const ServerProgram* find_titled_program(std::string_view title);

// Whether `words`, parted by blanks, have this one.
bool has_word(std::string_view words, std::string_view word);

}  // namespace loopsight
