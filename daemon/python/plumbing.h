// Small questions about frames that several stages ask.
#pragma once

#include <string>
#include <string_view>

#include "daemon/python/code_origin.h"
#include "daemon/python/frame.h"

namespace loopsight {

// The function of a frame whose code object could not be read or was replaced.
constexpr const char* kUnreadable = "<unreadable>";

// "run" of "Runner.run".
std::string_view last_name(std::string_view function);

// True for the frame of asyncio's BaseEventLoop._run_once, wherever its library lies.
bool is_run_once(const Frame& frame);

}  // namespace loopsight
