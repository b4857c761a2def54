"""Blocks an event loop in every way of kinds.py, one after another, and prints what it did.

    stall_zoo.py [--loop asyncio|uvloop] [--selector epoll|poll|select] [--where main|thread] [KIND ...]

Each line is a JSON object: {"kind": …, "causes": […], "start": …, "end": …, "busy_start": …,
"busy_end": …} or {"kind": …, "skipped": reason}. Times are CLOCK_MONOTONIC in seconds: around the
blocking call, and of the whole busy phase as the loop itself sees it, from the return of its
selector to the next call (null under uvloop, which has no selector to ask).
"""
import argparse
import asyncio
import json
import selectors
import threading
import time

from kinds import KINDS


def say(**fields):
    print(json.dumps(fields), flush=True)


def prepare(name):
    function, causes, needs = KINDS[name]
    reason = needs()
    if reason:
        say(kind=name, skipped=reason)
        return None
    steps = function()
    next(steps)
    return steps


class BusyPhases:
    """Notes when the loop's selector returns and when it is called again."""

    def __init__(self, selector):
        self.select = selector.select
        self.returned = None
        self.last = None

    def __call__(self, timeout=None):
        self.last = (self.returned, time.monotonic())
        events = self.select(timeout)
        self.returned = time.monotonic()
        return events


async def main(names, phases):
    loop = asyncio.get_running_loop()
    for name in names:
        # What a kind prepares and clears away must not be mistaken for the stall itself, so both
        # run on another thread.
        steps = await loop.run_in_executor(None, prepare, name)
        if steps is None:
            continue
        await asyncio.sleep(0.05)
        start = time.monotonic()
        next(steps, None)
        end = time.monotonic()
        await asyncio.sleep(0)
        busy_start, busy_end = phases.last if phases else (None, None)
        say(
            kind=name,
            causes=KINDS[name][1],
            start=start,
            end=end,
            busy_start=busy_start,
            busy_end=busy_end,
        )
        await asyncio.sleep(0.02)
        await loop.run_in_executor(None, next, steps, None)


def new_loop(arguments):
    if arguments.loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop(), None
    selector = {
        "epoll": selectors.EpollSelector,
        "poll": selectors.PollSelector,
        "select": selectors.SelectSelector,
    }[arguments.selector]()
    phases = BusyPhases(selector)
    selector.select = phases
    return asyncio.SelectorEventLoop(selector), phases


def run(arguments):
    loop, phases = new_loop(arguments)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main(arguments.kinds or sorted(KINDS), phases))
    finally:
        loop.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
    parser.add_argument("--selector", default="epoll", choices=["epoll", "poll", "select"])
    parser.add_argument("--where", default="main", choices=["main", "thread"])
    parser.add_argument("kinds", nargs="*")
    options = parser.parse_args()
    if options.where == "thread":
        thread = threading.Thread(target=run, args=(options,))
        thread.start()
        thread.join()
    else:
        run(options)
