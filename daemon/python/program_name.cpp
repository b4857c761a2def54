#include "daemon/python/program_name.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "daemon/python/argument_shapes.h"
#include "daemon/python/program_place.h"
#include "daemon/python/server_programs.h"

namespace loopsight {
namespace {

constexpr int kMaxLaunchers = 4;

Arguments from(const Arguments& arguments, size_t first) {
  if (first >= arguments.size()) return {};
  return {arguments.begin() + static_cast<ptrdiff_t>(first), arguments.end()};
}

// multiprocessing, its forks, and loky start an interpreter that is told what to do by a pipe.
bool is_child_code(const Arguments& arguments, size_t at) {
  if (std::find(arguments.begin(), arguments.end(), "--multiprocessing-fork") != arguments.end())
    return true;
  std::string_view code = at < arguments.size() ? arguments[at] : std::string_view();
  if (size_t letter = code.find('c'); code.starts_with('-') && letter != std::string_view::npos)
    code.remove_prefix(letter + 1);
  for (std::string_view package : {"multiprocessing", "multiprocess", "billiard", "loky", "joblib"})
    for (std::string_view verb : {"from ", "import "})
      if (code.starts_with(verb) && code.substr(verb.size()).starts_with(package) &&
          code.substr(verb.size() + package.size()).starts_with('.'))
        return true;
  return false;
}

bool is_child_module(std::string_view module) {
  return module.ends_with("loky.backend.popen_loky_posix") ||
         module.starts_with("multiprocessing.") || module.starts_with("billiard.");
}

// Names what arguments say. `look` is that of the process, for what they are relative to.
class Namer {
 public:
  explicit Namer(const ProgramLook& look) : look_(look) {}

  ProgramName name() {
    auto arguments = split(look_.cmdline, '\0');
    if (arguments.empty() || arguments[0].empty()) return nameless("<string>");
    std::string_view first = arguments[0];
    // The dynamic loader as the program.
    if (std::string_view base = base_name(first);
        base.starts_with("ld-") && base.find(".so") != std::string_view::npos) {
      size_t program = 1;
      while (program + 1 < arguments.size() && arguments[program].starts_with("--"))
        program += has_word("--inhibit-cache --list --verify", arguments[program]) ? 1 : 2;
      arguments = from(arguments, program);
      if (arguments.empty()) return plain(base);
      first = arguments[0];
    }
    if (is_interpreter(first)) return interpreter(arguments);
    if (first.find(' ') != std::string_view::npos && first.find('/') != 0) return title(first);
    // An interpreter under another name ("exec -a"); an embedding program's arguments are its own,
    // and may be secrets.
    bool starts_script = arguments.size() > 1 && is_file(arguments[1]);
    if (is_interpreter(look_.exe) && starts_script) return interpreter(arguments);
    if (std::find(arguments.begin(), arguments.end(), "--multiprocessing-fork") != arguments.end())
      return {.kind = ProgramName::Kind::kChild};
    if (const ServerProgram* server = find_server_program(base_name(first)))
      return serve(*server, plain(base_name(first)), from(arguments, 1));
    return plain(base_name(first));
  }

  // Where it runs says what it is as well as can be.
  ProgramName nameless(const char* what) const {
    std::string place = lasting_place(look_.cwd);
    if (place.empty()) {  // a virtual environment says as much
      std::string_view first = std::string_view(look_.cmdline).substr(0, look_.cmdline.find('\0'));
      place = lasting_place(folder_of(first));
    }
    return {.kind = ProgramName::Kind::kNameless, .core = what, .place = place, .is_common = true};
  }

 private:
  ProgramName plain(std::string_view name) const {
    return {.kind = ProgramName::Kind::kNamed,
            .core = std::string(name.substr(0, kMaxNamePart)),
            .is_common = is_common_name(name)};
  }

  ProgramName file(std::string_view path) const {
    std::string whole = absolute_path(look_.cwd, path);
    // A zip file that pex has unpacked, under a name made of digits, to run it.
    if (whole.find("/unzipped_pexes/") != std::string::npos ||
        (whole.find("/venvs/") != std::string::npos && whole.ends_with("/pex"))) {
      std::string pex = look_.variable ? look_.variable("PEX") : "";
      if (pex.empty()) return nameless("<string>");
      whole = absolute_path(look_.cwd, pex);
    }
    std::string_view name = base_name(whole);
    if (name == "__main__.py" && folder_of(whole).size() > 1) name = base_name(folder_of(whole));
    std::string_view folder = std::string_view(whole).substr(0, name.data() - whole.data());
    bool is_known = path.starts_with('/') || !look_.cwd.empty();
    return {.kind = ProgramName::Kind::kNamed,
            .core = std::string(name.substr(0, kMaxNamePart)),
            .place = is_known ? lasting_place(folder) : std::string(),
            .is_common = is_common_name(name)};
  }

  // A module or an application: it matters where it runs only where many are called so.
  ProgramName module(std::string_view name) const {
    bool is_common = is_common_name(name);
    return {.kind = ProgramName::Kind::kNamed,
            .core = std::string(name.substr(0, kMaxNamePart)),
            .place = is_common ? lasting_place(look_.cwd) : std::string(),
            .is_common = is_common};
  }

  ProgramName application(const std::string& text) const {
    size_t colon = text.find(':');
    std::string_view whole = text;
    if (!is_file(whole.substr(0, colon))) return module(text);
    ProgramName name = file(whole.substr(0, colon));
    if (colon != std::string::npos) name.core += text.substr(colon);
    return name;
  }

  ProgramName interpreter(const Arguments& arguments) {
    InterpreterOptions options = read_options(arguments);
    if (options.code)
      return is_child_code(arguments, options.end) ? ProgramName{.kind = ProgramName::Kind::kChild}
                                                   : nameless("<string>");
    if (options.module) {
      if (is_child_module(*options.module)) return {.kind = ProgramName::Kind::kChild};
      return run_module(*options.module, from(arguments, options.end + 1));
    }
    if (options.end >= arguments.size() || arguments[options.end] == "-") {
      bool is_script = look_.input.starts_with('/') && !look_.input.starts_with("/dev/");
      return is_script ? file(look_.input) : nameless("<stdin>");
    }
    return run_script(arguments[options.end], from(arguments, options.end + 1));
  }

  ProgramName run_module(std::string_view name, const Arguments& rest) {
    constexpr std::string_view kMain = ".__main__";
    if (name.ends_with(kMain)) name.remove_suffix(kMain.size());
    if (name.empty()) return nameless("<string>");
    if (const ServerProgram* server = find_server_program(name))
      return serve(*server, module(name), rest);
    return module(name);
  }

  ProgramName run_script(std::string_view path, const Arguments& rest) {
    ProgramName script = file(path);
    if (const ServerProgram* server = find_server_program(script.core))
      return serve(*server, std::move(script), rest);
    return script;
  }

  // What a launcher was told to run: a command, a script, or CPython's -m and -c.
  ProgramName launched(const Arguments& arguments) {
    if (++launchers_ > kMaxLaunchers || arguments.empty()) return nameless("<string>");
    if (arguments[0].starts_with('-')) {
      Arguments with_interpreter = {"python"};
      with_interpreter.insert(with_interpreter.end(), arguments.begin(), arguments.end());
      return interpreter(with_interpreter);
    }
    if (is_interpreter(arguments[0])) return interpreter(arguments);
    return run_script(arguments[0], from(arguments, 1));
  }

  struct Said {
    std::string application;  // by an argument
    std::string option;       // by an option
    std::string command;
    std::optional<size_t> program;  // where a launcher's program begins
  };

  Said read_arguments(const ServerProgram& server, const Arguments& arguments) const;
  ProgramName serve(const ServerProgram& server, ProgramName script, const Arguments& arguments);
  ProgramName title(std::string_view text);
  ProgramName server_title(const ServerProgram& server, std::string_view text,
                           const Arguments& words);

  const ProgramLook& look_;
  int launchers_ = 0;
};

// Whether the value of this option is the next argument.
bool takes_next(const ServerProgram& server, std::string_view option) {
  if (option.find('=') != std::string_view::npos || has_word(server.flags, option)) return false;
  if (option.starts_with("--"))
    return option.size() > 2 && !option.starts_with("--no-") &&
           !has_word("--help --version --verbose", option);
  if (option.size() == 2) return option != "-v" && option != "-h";
  // A row of flags ("-vv"), or a value that stands with its letter ("-w4").
  if (!has_word(server.flags, option.substr(0, 2)) && option[1] != 'v') return false;
  char last = option.back();
  return last != 'v' && !has_word(server.flags, std::string("-") + last);
}

Namer::Said Namer::read_arguments(const ServerProgram& server, const Arguments& arguments) const {
  Said said;
  auto wanted = split(server.arguments, ' ');
  size_t place = 0;
  auto option_value = [&](std::string_view value) {
    if (said.option.empty()) said.option = application_in(value);
    if (said.option.empty() && !value.empty() && is_plain_name(value)) said.option = value;
  };
  for (size_t i = 0; i < arguments.size(); i++) {
    std::string_view argument = arguments[i];
    bool is_program = place < wanted.size() && wanted[place] == "PROGRAM";
    if (argument == "--" && is_program) {
      said.program = i + 1;
      return said;
    }
    if (argument.size() > 1 && argument[0] == '-') {
      size_t equals = argument.find('=');
      if (is_program && has_word("-m -c --module", argument) && !has_word(server.flags, argument) &&
          !has_word(server.options, argument)) {
        said.program = i;
        return said;
      }
      if (has_word(server.options, argument)) {
        if (++i < arguments.size()) option_value(arguments[i]);
      } else if (equals != std::string_view::npos &&
                 has_word(server.options, argument.substr(0, equals))) {
        option_value(argument.substr(equals + 1));
      } else if (argument[1] != '-' && has_word(server.options, argument.substr(0, 2))) {
        option_value(argument.substr(2));
      } else if (takes_next(server, argument) && i + 1 < arguments.size() &&
                 !arguments[i + 1].starts_with('-')) {
        i++;
      }
      continue;
    }
    if (place >= wanted.size()) continue;
    if (is_program) {
      said.program = i;
      return said;
    }
    if (wanted[place] == "APP")
      said.application = application_in(argument);
    else if (argument.size() <= 32 && is_made_of_words(argument, "-"))
      said.command = argument;
    place++;
  }
  return said;
}

ProgramName Namer::serve(const ServerProgram& server, ProgramName script,
                         const Arguments& arguments) {
  Said said = read_arguments(server, arguments);
  if (said.program) {
    Arguments rest = from(arguments, *said.program);
    if (!rest.empty() && rest[0] == "--module") rest[0] = "-m";
    return launched(rest);
  }
  std::string shown = script.core;
  std::string after = has_word("run serve start dev server", said.command) || said.command.empty()
                          ? std::string()
                          : " " + said.command;
  std::string which = !said.option.empty() ? said.option : said.application;
  if (which.empty() && !server.variable.empty() && look_.variable)
    which = application_in(look_.variable(server.variable));
  bool wants_application =
      !server.options.empty() || server.arguments.find("APP") != std::string_view::npos;
  ProgramName name;
  if (!which.empty()) {
    name = application(which);
    name.before = shown + " ";
  } else if (wants_application) {
    name = {.kind = ProgramName::Kind::kNamed,
            .core = shown,
            .place = lasting_place(look_.cwd),
            .is_common = true};
  } else {
    name = std::move(script);
  }
  name.after = after;
  return name;
}

// What a server wrote over its command line, in the form of its row.
ProgramName Namer::server_title(const ServerProgram& server, std::string_view text,
                                const Arguments& words) {
  std::string shown(server.names.substr(0, server.names.find(' ')));
  bool in_arguments = server.title_form == TitleForm::kInArguments;
  size_t open = text.find(in_arguments ? '(' : '[', 1);
  size_t close = text.find_last_of(")]");
  bool has_inside =
      open != std::string_view::npos && close != std::string_view::npos && open + 1 < close;
  std::string_view inside = has_inside ? text.substr(open + 1, close - open - 1) : "";
  if (in_arguments) return serve(server, module(shown), split(inside, ' '));
  if (server.title_form == TitleForm::kTwoWords) return serve(server, module(shown), {words[1]});
  std::string which;
  if (server.title_form == TitleForm::kInBrackets) {
    which = application_in(inside);
    if (which.empty() && !inside.empty() && is_plain_name(inside)) which = inside;
  } else {
    for (std::string_view word : words)
      if (word.find(':') != std::string_view::npos && !application_in(word).empty())
        which = application_in(word);
  }
  if (which.empty()) return module(shown);
  ProgramName name = application(which);
  name.before = shown + " ";
  return name;
}

ProgramName Namer::title(std::string_view text) {
  auto words = split(text, ' ');
  std::erase(words, "");
  if (words.empty()) return nameless("<string>");
  if (is_interpreter(words[0])) return interpreter(words);
  const ServerProgram* server = find_titled_program(text);
  if (server && words.size() > 1) return server_title(*server, text, words);
  // What follows a colon says what it does now, or which of them it is: "rq:worker:7f3a".
  std::string_view word = words[0];
  word.remove_prefix(std::min(word.find_first_not_of("[("), word.size()));
  word = base_name(word.substr(0, word.find_first_of(":])")));
  return word.empty() ? nameless("<string>") : plain(word);
}

}  // namespace

std::string ProgramName::text(size_t depth) const {
  std::string folder;
  if (is_common)
    folder = end_of_place(place, depth);
  else if (depth > 0)
    folder = end_of_place(place, depth - 1);
  return before + folder + (folder.empty() ? "" : "/") + core + after;
}

ProgramName name_program(const ProgramLook& look) {
  Namer namer(look);
  ProgramName name = namer.name();
  // What an argument or a title may be, too, and what says nothing.
  bool says_nothing = name.core.empty() || name.core[0] == '-' || name.core == "unknown" ||
                      (is_interpreter(name.core) && name.before.empty());
  if (name.kind == ProgramName::Kind::kNamed && says_nothing) return namer.nameless("<string>");
  return name;
}

}  // namespace loopsight
