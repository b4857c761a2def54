// Whose code a frame is: the user's own, or plumbing that a culprit is not looked for in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/python/frame.h"

namespace loopsight {

// The function of a frame whose code object could not be read or was replaced.
constexpr const char* kUnreadable = "<unreadable>";

// "asyncio.base_events" of "/usr/lib/python3.11/asyncio/base_events.py", "app" of "/srv/app.py".
std::string module_name(const std::string& filename);

// "run" of "Runner.run".
std::string_view last_name(std::string_view function);

// True for the frame of asyncio's BaseEventLoop._run_once, wherever its library lies.
bool is_run_once(const Frame& frame);

// True for the standard library, installed packages and frozen modules; for event loops,
// frameworks and servers wherever they lie (vendored, in an editable installation); and for frames
// that could not be read.
bool is_plumbing(const Frame& frame);

// The innermost frame of the user's own code; where there is none, the innermost that is readable.
const Frame* find_culprit(const std::vector<Frame>& frames);

// The function that the event loop called: the frame just inside its run method, or null where no
// run method is among the frames. Of a task it is the root coroutine.
const Frame* find_root(const std::vector<Frame>& frames);

}  // namespace loopsight
