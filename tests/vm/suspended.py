"""An asyncio program that suspends its machine while its loop is idle, while a callback runs and
while one sleeps; it prints what a tracer must make of each, by its own clocks. For a virtual machine:
needs root, a real-time clock that wakes the machine, a kernel that can suspend to memory."""
import asyncio
import json
import os
import threading
import time

import edited

SECONDS = 10  # until the alarm, by which the machine has to be asleep


def suspend():
    """Returns when the machine is awake again."""
    for value in ("0", "+%d" % SECONDS):
        with open("/sys/class/rtc/rtc0/wakealarm", "w") as alarm:
            alarm.write(value)
    with open("/sys/power/state", "w") as state:
        state.write("mem")


def seconds_suspended():
    """Since the machine's start."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def tell(kind, start, suspended_before):
    end = time.monotonic()
    truth = {"kind": kind, "start": start, "end": end, "end_by_wall_clock": time.time(),
             "suspended": seconds_suspended() - suspended_before}
    print(json.dumps(truth), flush=True)


def running():
    thread = threading.Thread(target=suspend)
    thread.start()
    while thread.is_alive():
        pass


def sleeping():
    thread = threading.Thread(target=suspend)
    thread.start()
    time.sleep(1)
    thread.join()


def afterwards():
    time.sleep(0.3)


async def main():
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, time.sleep, 1)  # imports what it needs
    os.utime(edited.__file__)  # changed after the program's start, before its suspension
    start, suspended_before = time.monotonic(), seconds_suspended()
    await loop.run_in_executor(None, suspend)
    tell("idle", start, suspended_before)
    for callback in (running, sleeping, afterwards, edited.after_an_edit):
        await asyncio.sleep(0.2)
        start, suspended_before = time.monotonic(), seconds_suspended()
        callback()
        tell(callback.__name__, start, suspended_before)
    await asyncio.sleep(0.2)


asyncio.run(main())
