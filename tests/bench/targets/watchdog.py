"""The watchdog that people put into their services: a heartbeat and a thread that looks after it."""
import asyncio
import logging
import sys
import threading
import time
import traceback

BEAT_SECONDS = 0.05


class Watchdog:
    def __init__(self, loop):
        self.loop = loop
        self.thread_id = threading.get_ident()
        self.last_beat = time.monotonic()
        self.beat()
        threading.Thread(target=self.look_after, name="watchdog", daemon=True).start()

    def beat(self):
        self.last_beat = time.monotonic()
        self.loop.call_later(BEAT_SECONDS, self.beat)

    def look_after(self):
        while not self.loop.is_closed():
            time.sleep(BEAT_SECONDS)
            late = time.monotonic() - self.last_beat - BEAT_SECONDS
            if late > BEAT_SECONDS:
                self.report(late)

    def report(self, late):
        frame = sys._current_frames().get(self.thread_id)
        stack = "".join(traceback.format_stack(frame)) if frame else "no stack"
        logging.getLogger("watchdog").warning("the loop is %.0f ms late:\n%s", late * 1000, stack)


async def start(_):
    """For aiohttp's on_startup."""
    Watchdog(asyncio.get_running_loop())
