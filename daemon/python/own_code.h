// Which of a stack's frames is to blame: the rules of the culprit, from the best to the least.
//
//  own          the innermost frame of the service's own code below the loop's run method
//  application  else the innermost of the package that the service was started as; where that does
//               not stand on the stack, of the package of the outermost frame below the run method
//               that is neither standard library nor plumbing
//  package      else the innermost of an installed package that is not plumbing
//  leaf         else the innermost frame
//
// What stands above the run method (a console script, runpy, the line of asyncio.run) started the
// loop and is never the culprit. On a stack without a run method, as that of a greenlet or of
// another thread, nothing is above.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/code_patterns.h"
#include "daemon/base/run_method_name.h"
#include "daemon/python/frame.h"

namespace loopsight {

enum class CulpritRule {
  kOwn,
  kApplication,
  kPackage,
  kLeaf,
  kHolder,  // of a lock that the loop did not choose to wait for: its holder's own code
};
const char* name_of(CulpritRule rule);

struct CodeContext {
  std::vector<const CodePatterns*> patterns;  // the first that says something counts
  std::string_view application;               // the package that was started; "" not known
  std::span<const RunMethodName> loops;       // run methods of further loops
  std::optional<size_t> outside;              // the first frame above the loop, where it is known
};

struct JudgedCode {
  std::optional<size_t> culprit;  // index of its frame; nothing where none may be blamed
  CulpritRule rule = CulpritRule::kLeaf;
  size_t outside = 0;    // index of the first frame that is not below the run method
  bool has_run = false;  // there is a run method, or what stands for it
  bool in_loop = false;  // below it is nothing but the loop's own code
};

// Says of each frame whose code it is, and which one is the culprit.
JudgedCode judge_code(std::vector<Frame>& frames, const CodeContext& context = {});

// The frame that judge_code blames; null where there is none.
const Frame* find_culprit(std::vector<Frame>& frames, const CodeContext& context = {});

// The function that the event loop called: the outermost frame below the run method that is not one
// of the loop's own. Of a task it is the root coroutine. Null where there is none.
const Frame* find_root(const std::vector<Frame>& frames, const JudgedCode& judged);

}  // namespace loopsight
