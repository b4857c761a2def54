// The package that a process was started as: what its command line names, be it to the interpreter
// (python -m shop), by a console script (shop) or to a server (uvicorn shop.web:app).
//
// Nothing of it is shown: it counts only where code of such a package stands on a stack. So a wrong
// guess does no harm, and values of options are not told to anybody.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace loopsight {

// Of the arguments of a process, as /proc has them. "" where they name none.
std::string application_of(const std::vector<std::string_view>& arguments);

// Of a process; of a child that multiprocessing started, of the process that has started it.
std::string find_application(const std::string& proc_root, uint32_t tgid);

}  // namespace loopsight
