#include "daemon/top/top_help.h"

#include <fmt/format.h>

#include <utility>

#include "daemon/event/event.h"
#include "daemon/top/cause_letters.h"

namespace loopsight {

std::vector<ScreenLine> help_lines() {
  std::vector<ScreenLine> lines;
  auto add = [&](const char* text) { lines.push_back({{text, Style::kPlain}}); };
  lines.push_back({{"loopsight top", Style::kTitle}, {"  any key: back", Style::kDim}});
  add("BLOCKD  share of the last 10 s that was spent in stalls");
  add("BUSY    share of the last 10 s outside the poll call");
  add("STALLS  since this view began    WAITED  events and how long");
  add("q quit          s sort by blocked, busy, stalls, name");
  add("j k arrows      choose a loop    g G Home End: first, last");
  add("Enter details   Esc back, no filter");
  add("/ filter by workload or culprit  p or blank: pause");
  add("CAUSES  a letter for each part of BUSY, dots for idle time:");
  ScreenLine line;
  for (size_t cause = 0; cause < kCauseLetters.size(); cause++) {
    line.push_back({fmt::format("  {}", cause_letter(cause)), cause_style(cause)});
    line.push_back({fmt::format(" {:<12}", kCauseNames[cause]), Style::kPlain});
    if (cause % 4 == 3) lines.push_back(std::exchange(line, {}));
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

}  // namespace loopsight
