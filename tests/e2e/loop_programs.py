"""Programs that poll before, between, beside and after their loops, each with its own truth.

block() sleeps inside a loop and prints that; whatever else a program does is no loop's stall.
"""
import textwrap

PRELUDE = """
import asyncio, json, os, select, socket, subprocess, sys, threading, time
def block(seconds=0.1):
    start = time.monotonic(); time.sleep(seconds)
    print(json.dumps([start, time.monotonic(), threading.get_native_id()]), flush=True)
async def main(times=3, pause=0.05):
    for _ in range(times):
        await asyncio.sleep(pause); block()
    await asyncio.sleep(pause)
def timed_recv(seconds):
    a, b = socket.socketpair(); a.settimeout(seconds)
    try: a.recv(1)
    except socket.timeout: pass
"""

# What a service does before its loop: each hid the loop once.
BEFORE = {
    "subprocess": "subprocess.run(['true'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)",
    "recv": "timed_recv(0.02)",
    "poll": "select.poll().poll(20)",
    "select": "select.select([], [], [], 0.02)",
    "epoll": "p = select.epoll(); p.poll(0.02); p.close()",
    "epoll_kept": "p = select.epoll(); p.poll(0.02)",
    "many": "[timed_recv(0.001) for _ in range(100)]; p = select.epoll(); [p.poll(0.001) for _ in range(50)]",
    "deep": """
def down(n): return timed_recv(0.02) if n == 0 else down(n - 1)
for n in range(40): down(n)
""",
    "thread": "t = threading.Thread(target=timed_recv, args=(0.05,)); t.start(); t.join()",
    "loop": "asyncio.run(asyncio.sleep(0.02))",
}

# Loops between which nothing is to be told, and what is no loop at all: (program, stalls).
OTHERS = {
    "between_runs": (
        """
loop = asyncio.new_event_loop()
for _ in range(3):
    loop.run_until_complete(main(1)); time.sleep(0.4)
""",
        3,
    ),
    "between_runs_computing": (
        """
loop = asyncio.new_event_loop()
for _ in range(3):
    loop.run_until_complete(main(1))
    end = time.monotonic() + 0.3
    while time.monotonic() < end: sum(range(1000))
""",
        3,
    ),
    "queue_thread": (
        """
import queue
q = queue.Queue()
def work():
    loop = asyncio.new_event_loop()
    while q.get() is not None: loop.run_until_complete(main(1))
t = threading.Thread(target=work); t.start()
for _ in range(2): q.put(1); time.sleep(1.2)
q.put(None); t.join()
""",
        2,
    ),
    "stall_then_left": (
        """
async def last(): block(0.3)
loop = asyncio.new_event_loop()
loop.run_until_complete(main(1))
loop.run_until_complete(last())
time.sleep(0.7)
""",
        2,
    ),
    "reads_one_socket": ("timed_recv(0.3)\ntimed_recv(0.3)\ntimed_recv(1.2)", 0),
    "own_epoll_thread": (
        """
def poller():
    r, w = os.pipe(); p = select.epoll(); p.register(r, select.EPOLLIN)
    for _ in range(5):
        p.poll(0.01); time.sleep(0.15)
t = threading.Thread(target=poller); t.start()
asyncio.run(main()); t.join()
""",
        3,
    ),
    "selector_loop": (
        """
import selectors
timed_recv(0.02)
loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
loop.run_until_complete(main()); time.sleep(0.3)
loop.run_until_complete(main(1)); time.sleep(0.3)
s = selectors.SelectSelector()
for _ in range(3): s.select(0.01); time.sleep(0.1)
""",
        4,
    ),
    "poll_selector_loop": (
        """
import selectors
loop = asyncio.SelectorEventLoop(selectors.PollSelector())
loop.run_until_complete(main()); time.sleep(0.3)
""",
        3,
    ),
    "callbacks_that_poll": (
        """
async def waits():
    await asyncio.sleep(0.05)
    start = time.monotonic(); timed_recv(0.12)
    subprocess.run(["sleep", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    print(json.dumps([start, time.monotonic(), threading.get_native_id()]), flush=True)
    await asyncio.sleep(0.05)
asyncio.run(waits()); asyncio.run(main(1))
""",
        2,
    ),
    "own_subclass": (
        """
import selectors
class Mine(asyncio.SelectorEventLoop):
    def _run_once(self): super()._run_once()
class Selector(selectors.EpollSelector):
    def select(self, timeout=None): return super().select(timeout)
timed_recv(0.02)
loop = Mine(Selector()); loop.run_until_complete(main())
""",
        3,
    ),
    "first_callback": ("async def first(): block(0.2)\nasyncio.run(first())", 1),
    "many_threads": (
        """
stop = threading.Event()
started = [threading.Thread(target=stop.wait, daemon=True) for _ in range(300)]
for t in started: t.start()
asyncio.run(main()); stop.set()
""",
        3,
    ),
}


def program(code):
    return PRELUDE + textwrap.dedent(code)
