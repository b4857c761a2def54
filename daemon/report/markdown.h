// A report for a person who reads a pull request: Markdown, the widest share first.
#pragma once

#include <string>
#include <vector>

#include "daemon/report/tally.h"

namespace loopsight {

struct NamedTally {
  std::string name;  // of the file
  Tally tally;
};

std::string markdown_report(const NamedTally& one);
std::string markdown_comparison(const NamedTally& before, const NamedTally& after);

// What a reader must know to trust the numbers, a sentence each; of one file, and of both.
std::vector<std::string> caveats(const NamedTally& one);
std::vector<std::string> caveats(const NamedTally& before, const NamedTally& after);

// Text of somebody else as Markdown that means nothing else, in a table too.
std::string as_text(const std::string& text);
std::string as_code(const std::string& text);

std::string seconds_text(double seconds);

}  // namespace loopsight
