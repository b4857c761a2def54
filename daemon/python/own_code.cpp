#include "daemon/python/own_code.h"

#include <algorithm>
#include <array>

#include "daemon/python/code_origin.h"
#include "daemon/python/plumbing.h"
#include "daemon/python/run_methods.h"

namespace loopsight {
namespace {

// What starts a loop whose run method has no frame, because it is native code.
struct Starter {
  std::string_view module;
  std::string_view function;
};
constexpr Starter kStarters[] = {
    {"asyncio.base_events", "run_forever"},
    {"asyncio.base_events", "run_until_complete"},
    {"asyncio.runners", "run"},
    {"uvloop", "run"},
};

std::optional<size_t> find_starter(const std::vector<Frame>& frames) {
  for (size_t i = 0; i < frames.size(); i++)
    for (const Starter& starter : kStarters)
      if (last_name(frames[i].function) == starter.function &&
          is_of_module(frames[i].file, starter.module))
        return i;
  return std::nullopt;
}

Whose whose_by(Origin origin) {
  switch (origin) {
    case Origin::kOwn: return Whose::kOwn;
    case Origin::kPackage: return Whose::kPackage;
    case Origin::kPlumbing: return Whose::kPlumbing;
    default: return Whose::kLibrary;
  }
}

Whose whose_of(const Frame& frame, Origin origin, const CodeContext& context) {
  for (const CodePatterns* patterns : context.patterns) {
    if (CodePatterns::any(patterns->own, frame.module, frame.file)) return Whose::kOwn;
    if (CodePatterns::any(patterns->library, frame.module, frame.file)) return Whose::kPackage;
  }
  return whose_by(origin);
}

// Text that was compiled in the program is of whoever calls it, and named by that caller: methods
// that a library writes (dataclasses, named tuples, the proxies of a multiprocessing manager).
// Where nothing but such text is on the stack it is the program itself, as that of python -c.
Whose whose_is_generated(const std::vector<Frame>& frames, size_t index, size_t outside) {
  if (frames[index].function.find("__create_fn__") != std::string::npos) return Whose::kLibrary;
  if (index > 0 && is_of_module(frames[index - 1].file, "multiprocessing.managers"))
    return Whose::kLibrary;
  if (index > 0 && is_of_module(frames[index - 1].file, "multiprocessing.spawn"))
    return Whose::kOutside;
  for (size_t i = index + 1; i < outside; i++) {
    Origin origin = origin_of(frames[i].file);
    if (origin == Origin::kOwn || origin == Origin::kPackage) return Whose::kLibrary;
  }
  return Whose::kOwn;
}

// The outermost frame of a program that an installed package's console script starts.
bool is_console_script(const std::vector<Frame>& frames) {
  if (frames.size() < 2) return false;
  const Frame& script = frames.back();
  size_t slash = script.file.rfind('/');
  if (script.function != "<module>" || slash == std::string::npos || script.file.ends_with(".py"))
    return false;
  Origin inner = origin_of(frames[frames.size() - 2].file);
  std::string_view folder = std::string_view(script.file).substr(0, slash);
  return folder.ends_with("/bin") && (inner == Origin::kPackage || inner == Origin::kPlumbing);
}

void mark(std::vector<Frame>& frames, const CodeContext& context, JudgedCode& judged) {
  for (size_t i = 0; i < frames.size(); i++) {
    Frame& frame = frames[i];
    if (frame.function == kUnreadable || frame.file.empty()) {
      frame.whose = Whose::kUnknown;
    } else if (judged.has_run && i >= judged.outside) {
      frame.whose = Whose::kOutside;
    } else {
      Origin origin = origin_of(frame.file);
      frame.whose = whose_of(frame, origin, context);
      if (origin == Origin::kGenerated && frame.whose == Whose::kLibrary)
        frame.whose = whose_is_generated(frames, i, judged.outside);
    }
  }
  if (!judged.has_run && is_console_script(frames)) frames.back().whose = Whose::kOutside;
}

bool is_of_package(const Frame& frame, std::string_view package) {
  return (frame.whose == Whose::kPackage || frame.whose == Whose::kPlumbing) &&
         top_package(frame.module) == package;
}

std::optional<size_t> innermost(const std::vector<Frame>& frames, size_t outside, auto test) {
  for (size_t i = 0; i < outside; i++)
    if (test(frames[i])) return i;
  return std::nullopt;
}

// The package of what started the loop, where that is installed and no server.
std::string_view starting_package(const std::vector<Frame>& frames, size_t outside) {
  for (size_t i = outside; i < frames.size(); i++)
    if (origin_of(frames[i].file) == Origin::kPackage) return top_package(frames[i].module);
  return "";
}

std::optional<size_t> find_application(const std::vector<Frame>& frames, const CodeContext& context,
                                       const JudgedCode& judged) {
  for (std::string_view package : {context.application, starting_package(frames, judged.outside)}) {
    if (package.empty()) continue;
    auto found = innermost(frames, judged.outside,
                           [&](const Frame& frame) { return is_of_package(frame, package); });
    if (found) return found;
  }
  if (!judged.has_run) return std::nullopt;
  for (size_t i = judged.outside; i > 0; i--) {
    if (frames[i - 1].whose != Whose::kPackage) continue;
    std::string_view package = top_package(frames[i - 1].module);
    return innermost(frames, judged.outside,
                     [&](const Frame& frame) { return is_of_package(frame, package); });
  }
  return std::nullopt;
}

void choose(const std::vector<Frame>& frames, const CodeContext& context, bool by_method,
            JudgedCode& judged) {
  auto is = [](Whose whose) {
    return [whose](const Frame& frame) { return frame.whose == whose; };
  };
  judged.rule = CulpritRule::kOwn;
  judged.culprit = innermost(frames, judged.outside, is(Whose::kOwn));
  if (judged.culprit) return;
  judged.rule = CulpritRule::kApplication;
  judged.culprit = find_application(frames, context, judged);
  if (judged.culprit) return;
  judged.rule = CulpritRule::kPackage;
  judged.culprit = innermost(frames, judged.outside, is(Whose::kPackage));
  if (judged.culprit) return;
  judged.rule = CulpritRule::kLeaf;
  judged.culprit = innermost(frames, judged.outside, [](const Frame& frame) {
    return frame.function != kUnreadable && frame.whose != Whose::kOutside;
  });
  if (judged.culprit || !judged.has_run || judged.outside >= frames.size()) return;
  // The loop itself is at work, in its run method or in what stands for it.
  const Frame& run = frames[judged.outside];
  if (by_method || origin_of(run.file) != Origin::kOwn) judged.culprit = judged.outside;
}

// The modules that make up an event loop.
constexpr std::array<std::string_view, 14> kLoopModules = {
    "asyncio",          "contextvars",     "curio.kernel", "eventlet.hubs",
    "gevent",           "kombu",           "nest_asyncio", "rloop",
    "selectors",        "tornado.ioloop",  "trio",         "tornado.gen",
    "twisted.internet", "tornado.platform"};

bool is_of_loop(const Frame& frame) {
  return std::any_of(kLoopModules.begin(), kLoopModules.end(), [&](std::string_view module) {
    return frame.module.starts_with(module) &&
           (frame.module.size() == module.size() || frame.module[module.size()] == '.');
  });
}

}  // namespace

const char* name_of(CulpritRule rule) {
  switch (rule) {
    case CulpritRule::kOwn: return "own";
    case CulpritRule::kApplication: return "application";
    case CulpritRule::kPackage: return "package";
    case CulpritRule::kHolder: return "holder";
    default: return "leaf";
  }
}

JudgedCode judge_code(std::vector<Frame>& frames, const CodeContext& context) {
  JudgedCode judged{.outside = frames.size()};
  auto running = find_running_loop(frames, context.loops);
  if (running) {
    judged.outside = running->method;
    judged.has_run = true;
  } else {
    for (auto place : {context.outside, find_starter(frames)})
      if (place && *place < judged.outside) judged.outside = *place;
    judged.has_run = judged.outside < frames.size();
  }
  judged.in_loop = judged.has_run &&
                   std::all_of(frames.begin(),
                               frames.begin() + static_cast<ptrdiff_t>(judged.outside), is_of_loop);
  mark(frames, context, judged);
  choose(frames, context, running.has_value(), judged);
  return judged;
}

const Frame* find_culprit(std::vector<Frame>& frames, const CodeContext& context) {
  JudgedCode judged = judge_code(frames, context);
  return judged.culprit ? &frames[*judged.culprit] : nullptr;
}

const Frame* find_root(const std::vector<Frame>& frames, const JudgedCode& judged) {
  if (!judged.has_run) return nullptr;
  for (size_t i = judged.outside; i > 0; i--) {
    const Frame& frame = frames[i - 1];
    if (frame.function == kUnreadable) return nullptr;
    if (!is_of_loop(frame)) return &frame;
  }
  return nullptr;
}

}  // namespace loopsight
