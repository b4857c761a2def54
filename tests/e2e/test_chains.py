"""A loop that waits for another thread: who woke it, and what that thread had waited for itself."""
import json
import subprocess

from conftest import PYTHON, http_get, parse_lines, running, wait_until
from test_probes import daemon

PROGRAM = """
import asyncio, concurrent.futures, json, os, queue, socket, sys, threading, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
def serve():
    while True:
        client, _ = server.accept()
        time.sleep(0.2)
        client.sendall(b"x")
        client.close()
threading.Thread(target=serve, daemon=True).start()
def fetch():
    with socket.create_connection(server.getsockname()) as client:
        return client.recv(1)
jobs, answers = queue.Queue(), queue.Queue()
def worker():
    while True:
        jobs.get()
        time.sleep(0.15)
        answers.put(1)
threading.Thread(target=worker, daemon=True).start()
pool = concurrent.futures.ThreadPoolExecutor(2)
def future():
    pool.submit(fetch).result()
def answer():
    jobs.put(1)
    answers.get()
def join():
    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join()
port = server.getsockname()[1]
async def main():
    await asyncio.sleep(0.2)
    for _ in range(int(sys.argv[1])):
        for kind, wait, target, code in ((future, "recvfrom", f"127.0.0.1:{port}", "fetch"),
                                         (answer, "clock_nanosleep", None, "worker"),
                                         (join, "recvfrom", f"127.0.0.1:{port}", "fetch")):
            start = time.monotonic()
            kind()
            print(json.dumps({"start": start, "end": time.monotonic(), "syscall": wait,
                              "target": target, "function": code}), flush=True)
            await asyncio.sleep(0.05)
asyncio.run(main())
os._exit(0)
"""


def check(stall, fact):
    waited_for = stall["waited_for"]
    assert waited_for is not None, stall
    assert waited_for["wait"]["syscall"] == fact["syscall"]
    assert waited_for["wait"]["target"] == fact["target"]
    assert waited_for["frames"][0]["function"] == fact["function"]
    # Its wait is within the loop's, give or take the hand-over.
    assert waited_for["wait"]["seconds"] <= stall["duration_seconds"] + 0.01


def test_the_other_thread_and_its_own_wait_are_named(trace, tmp_path):
    script = tmp_path / "chains.py"
    script.write_text(PROGRAM)
    traced = trace(PYTHON, script, "3")
    facts = parse_lines(traced.output)
    assert len(facts) == 9
    named = 0
    for fact in facts:
        (stall,) = traced.results.around(fact["start"], fact["end"])
        assert stall["cause"] in ("lock", "run_queue")
        if stall["waited_for"] and stall["waited_for"]["wait"]:
            check(stall, fact)
            named += 1
    # On a busy machine a loop may be preempted for longer than it waited; not each time.
    assert named >= 6, [stall["waited_for"] for stall in traced.results.stalls]


def test_a_stall_that_waits_for_nobody_names_nobody(trace, tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(
        "import asyncio, time\n"
        "async def main():\n"
        "    await asyncio.sleep(0.2)\n"
        "    time.sleep(0.12)\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    stalls = trace(PYTHON, script).results.stalls
    assert stalls and all(stall["waited_for"] is None for stall in stalls)


def test_the_daemon_follows_once_a_loop_has_waited_for_a_lock(tmp_path):
    script = tmp_path / "followed_chains.py"
    script.write_text(PROGRAM)
    with daemon() as (_, port), running(
        [PYTHON, script, "12"], stdout=subprocess.PIPE, text=True
    ) as target:

        def named():
            path = "/api/v1/stalls?workload=followed_chains.py&limit=100"
            stalls = json.loads(http_get(port, path)[1])
            return [one for one in stalls if one["waited_for"] and one["waited_for"]["wait"]]

        assert wait_until(lambda: len(named()) >= 3, 30), target.poll()
        functions = {one["waited_for"]["frames"][0]["function"] for one in named()}
        assert functions <= {"fetch", "worker"} and functions

