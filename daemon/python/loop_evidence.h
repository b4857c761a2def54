// Is it an event loop that polls, and which?
//
// Where the Python frames at the poll call can be read, they decide: Python code that polls is a
// loop's when nothing but the loop's own way to poll stands between the call and the run method
// (run_methods.h). Below a callback of a loop it is a wait of that callback.
//
// Where native code polls, and where no frames can be read:
//
//  1. Whose code made the system call: the first address on the user stack, from the stack pointer
//     up, that lies in executable code outside the C library and outside of what stands in for its
//     functions (libfaketime). Code of uvloop or libuv makes it a uvloop loop, of gevent or libev a
//     gevent hub. Code of the interpreter or of its `select` module means that Python code polls.
//     Any other library (gRPC, librdkafka, ZeroMQ) is a native poller and no loop.
//  2. Where Python code polls, whether the descriptors it watches include a wake-up channel of the
//     kind that loops make for themselves: one end of an unnamed, connected pair of Unix stream
//     sockets (asyncio, Tornado, trio). A server that merely uses a selector (gunicorn's threads,
//     socketserver) watches none.
//
// What the second way cannot tell: trio, Tornado and Twisted from asyncio, where the process has
// imported asyncio as well; they are then reported as asyncio.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/event/event.h"
#include "daemon/python/frame.h"
#include "daemon/python/run_methods.h"

namespace loopsight {

struct Judgement {
  bool is_loop = false;
  bool is_native = false;  // native code makes the poll call
  // A verdict of "no loop" is of the poll object, not of the Python frames alone.
  bool by_object = false;
  LoopKind kind = LoopKind::kUnknown;
  std::string reason;
  std::optional<RunningLoop> running;  // where the frames told
};

// By the frames at the poll call alone; nothing where they do not make it a loop's.
std::optional<Judgement> judge_frames(const std::vector<Frame>& frames,
                                      std::span<const RunMethodName> configured = {});

// Reads /proc of the polling process under `proc_root`, where its frames alone do not tell. A
// process that is gone by now is judged no loop. `frames` are those at the poll call, the innermost
// first; empty where not readable.
Judgement judge_poller(const PollerSeen& poller, const std::string& proc_root,
                       const std::vector<Frame>& frames,
                       std::span<const RunMethodName> configured = {});

}  // namespace loopsight
