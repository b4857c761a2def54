"""Real services on real frameworks: their stalls are found, and healthy ones stay silent."""
import json
import subprocess
import sys

import pytest
from conftest import (
    LOOPSIGHT,
    PYTHON,
    TARGETS,
    free_port,
    http_get,
    read_results,
    running,
    skip_without,
    tracing,
    wait_for_port,
    wait_until,
)

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def found_at(path, truth):
    stalls = read_results(path).around(truth["start"], truth["end"])
    assert len(stalls) == 1, (truth, stalls)
    return stalls[0]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_aiohttp(tmp_path, loop):
    skip_without("aiohttp")
    skip_without(loop)
    port = free_port()
    out = tmp_path / "x.json"
    with running([PYTHON, TARGETS / "web_aiohttp.py", str(port), loop], **QUIET) as server:
        wait_for_port(port)
        with tracing(out, "--pid", str(server.pid)):
            for _ in range(20):
                assert http_get(port)[0] == 200
            truths = [json.loads(http_get(port, "/stall?ms=%d" % ms)[1]) for ms in (60, 120, 240)]
    for truth in truths:
        stall = found_at(out, truth)
        assert stall["cause"] == "sleep" and stall["loop"] == loop
        assert stall["workload"] == "web_aiohttp.py"
        assert stall["culprit"]["function"] == "stall"  # the handler, through aiohttp's frames
    assert len(read_results(out).stalls) == 3


def test_uvicorn_with_two_workers(tmp_path):
    skip_without("uvicorn")
    port = free_port()
    out = tmp_path / "x.json"
    command = [PYTHON, "-m", "uvicorn", "web_asgi:app", "--app-dir", str(TARGETS)]
    command += ["--port", str(port), "--workers", "2", "--log-level", "error"]
    with running(command, cwd=TARGETS, **QUIET) as server:
        wait_for_port(port)
        with tracing(out, "--pid", str(server.pid)):
            truths = [json.loads(http_get(port, "/stall")[1]) for _ in range(24)]
            # Workers take connections as they come; make sure that both have stalled.
            for _ in range(200):
                if len({truth["pid"] for truth in truths}) == 2:
                    break
                truths.append(json.loads(http_get(port, "/stall")[1]))
    pids = {truth["pid"] for truth in truths}
    assert len(pids) == 2
    results = read_results(out)
    for number, truth in enumerate(truths):
        stalls = results.around(truth["start"], truth["end"])
        assert len(stalls) == 1, "stall %d of %d" % (number + 1, len(truths))
        assert stalls[0]["pid"] == truth["pid"]
    assert len(results.stalls) == len(truths)
    workers = {stall["pid"]: stall["worker"] for stall in results.stalls}
    assert set(workers) == pids and len(set(workers.values())) == 2


def test_gunicorn_preforked(tmp_path):
    skip_without("uvicorn")
    skip_without("gunicorn")
    port = free_port()
    out = tmp_path / "x.json"
    command = [PYTHON, "-m", "gunicorn", "web_asgi:app", "--preload", "-w", "2"]
    command += ["-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:%d" % port]
    with running(
        [LOOPSIGHT, "trace", "--format", "json", "--output", str(out), "--", *command],
        cwd=TARGETS,
        **QUIET,
    ):
        wait_for_port(port)
        truths = [json.loads(http_get(port, "/stall")[1]) for _ in range(6)]
    for truth in truths:
        stall = found_at(out, truth)
        assert stall["pid"] == truth["pid"] and stall["cause"] == "sleep"
        assert stall["workload"] == "gunicorn web_asgi:app"


def test_a_server_without_a_loop_is_none(tmp_path):
    skip_without("gunicorn")
    port = free_port()
    out = tmp_path / "x.json"
    command = [PYTHON, "-m", "gunicorn", "web_wsgi:app", "-w", "1", "--threads", "3"]
    command += ["-b", "127.0.0.1:%d" % port]
    with running(command, cwd=TARGETS, **QUIET) as server:
        wait_for_port(port)
        with tracing(out, "--pid", str(server.pid)):
            for _ in range(5):
                assert http_get(port, "/stall")[0] == 200
    results = read_results(out)
    assert not results.all and not results.summary["loops"]


LIBRARY_LOOPS = {
    "tornado": """
        import asyncio, json, time, tornado.ioloop
        async def main():
            await asyncio.sleep(0.2)
            start = time.monotonic(); time.sleep(0.1); print(json.dumps([start, time.monotonic()]))
            await asyncio.sleep(0.05)
        tornado.ioloop.IOLoop.current().run_sync(main)
    """,
    "trio": """
        import json, time, trio
        async def main():
            await trio.sleep(0.2)
            start = time.monotonic(); time.sleep(0.1); print(json.dumps([start, time.monotonic()]))
            await trio.sleep(0.05)
        trio.run(main)
    """,
    "gevent": """
        import gevent, json, time
        def main():
            gevent.sleep(0.2)
            start = time.monotonic(); time.sleep(0.1); print(json.dumps([start, time.monotonic()]))
            gevent.sleep(0.05)
        gevent.spawn(main).join()
    """,
    "twisted": """
        import json, time
        from twisted.internet import reactor
        def block():
            start = time.monotonic(); time.sleep(0.1); print(json.dumps([start, time.monotonic()]))
        reactor.callLater(0.2, block); reactor.callLater(0.4, reactor.stop); reactor.run()
    """,
}


@pytest.mark.parametrize("library", sorted(LIBRARY_LOOPS))
def test_other_loops(trace, library):
    skip_without(library)
    import textwrap

    traced = trace(PYTHON, "-c", textwrap.dedent(LIBRARY_LOOPS[library]))
    assert traced.returncode == 0, traced.errors
    start, end = json.loads(traced.output)
    assert len(traced.results.around(start, end)) == 1
    (stall,) = traced.results.stalls
    assert stall["loop"] == library
    assert stall["culprit"]["function"] == ("block" if library == "twisted" else "main")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_healthy_service_under_load_stays_silent(tmp_path, loop):
    skip_without("aiohttp")
    skip_without(loop)
    port = free_port()
    out = tmp_path / "x.json"
    with running([PYTHON, TARGETS / "web_aiohttp.py", str(port), loop], **QUIET) as server:
        wait_for_port(port)
        with tracing(out, "--pid", str(server.pid)):
            subprocess.run(
                ["wrk", "-t1", "-c16", "-d4s", "http://127.0.0.1:%d/" % port], check=True, **QUIET
            )
            wait_until(lambda: False, 1.2)
    results = read_results(out)
    assert results.summary["iterations"] > 1000
    # On a machine this small the host itself may starve the loop; that is never code's doing.
    guilty = [stall for stall in results.all if stall["blame"] == "code"]
    assert not guilty, guilty


def test_native_pollers_are_no_loops(trace):
    skip_without("grpc")
    code = """
import asyncio, concurrent.futures, grpc, json, time
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
port = server.add_insecure_port("127.0.0.1:0"); server.start()
channel = grpc.insecure_channel("127.0.0.1:%d" % port)
grpc.channel_ready_future(channel).result(10)
async def main():
    await asyncio.sleep(1.0)
    start = time.monotonic(); time.sleep(0.1); print(json.dumps([start, time.monotonic()]))
    await asyncio.sleep(0.3)
asyncio.run(main())
channel.close(); server.stop(None)
"""
    traced = trace(PYTHON, "-c", code)
    assert traced.returncode == 0, traced.errors
    start, end = json.loads(traced.output)
    assert len(traced.results.stalls) == 1
    assert traced.results.around(start, end)
    assert [one["loop"] for one in traced.results.summary["loops"]] == ["asyncio"]
