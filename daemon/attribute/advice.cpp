#include "daemon/attribute/advice.h"

#include <array>

namespace loopsight {
namespace {

constexpr std::array<const char*, LS_CAUSES> kAdvice = {
    /* cpu */
    "Python or native code computed without awaiting: move it to a process pool "
    "(loop.run_in_executor with a ProcessPoolExecutor) or split it with await asyncio.sleep(0).",
    /* gc */
    "The garbage collector ran inside the callback: call gc.freeze() after start-up and raise "
    "gc.set_threshold.",
    /* import */
    "A module was imported inside the callback: import it at start-up.",
    /* gil */
    "The loop waited for the interpreter lock: move what the other thread computes to a process.",
    /* lock */
    "The loop waited for a lock or for another thread: use asyncio.Lock, or await the result with "
    "asyncio.wrap_future or asyncio.to_thread.",
    /* sleep */
    "The loop slept: use await asyncio.sleep instead of time.sleep.",
    /* network */
    "The loop waited for a socket: use an asynchronous client (httpx, aiohttp, asyncpg, "
    "loop.getaddrinfo) or asyncio.to_thread.",
    /* disk */
    "The loop waited for the disk: do file input and output and fsync in asyncio.to_thread.",
    /* pipe */
    "The loop waited for a pipe or terminal: use asyncio.create_subprocess_exec, "
    "loop.connect_read_pipe or asyncio.to_thread.",
    /* subprocess */
    "The loop waited for a child process: use asyncio.create_subprocess_exec instead of "
    "subprocess.",
    /* page_fault */
    "The loop waited for memory to be read from disk: give the host more memory, or lock or "
    "preload what the service touches.",
    /* run_queue */
    "The loop was ready and got no CPU: the host is overloaded; give the service more CPU weight "
    "or move its neighbours.",
    /* throttled */
    "The loop's CPU quota was used up: raise the container's CPU limit (cpu.max).",
    /* stopped */
    "The process was stopped from outside (a signal, a debugger or the freezer): find out who "
    "stops it.",
    /* other */
    "The loop waited in the kernel: look at the system call and do it in asyncio.to_thread.",
    /* unknown */
    "Records were lost, so the cause is not known: see loopsight_events_lost_total.",
};

}  // namespace

bool is_host_cause(uint32_t cause) {
  return cause == LS_CAUSE_RUN_QUEUE || cause == LS_CAUSE_THROTTLED || cause == LS_CAUSE_STOPPED ||
         cause == LS_CAUSE_PAGE_FAULT;
}

std::string advice_for(uint32_t cause) { return kAdvice.at(cause < LS_CAUSES ? cause : 0); }

}  // namespace loopsight
