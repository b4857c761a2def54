"""A small shop on aiohttp, with the mistakes that real services make.

    service.py PORT

Each page looks innocent, and each of the slow ones blocks the event loop for everybody else.
"""
import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from aiohttp import web

LOCK = threading.Lock()
BLOCK = os.urandom(1 << 20)
SCRATCH = tempfile.mkdtemp(prefix="loopsight-sample-")


async def home(request):
    """As it should be: it waits without blocking anybody."""
    await asyncio.sleep(0.01)
    return web.Response(text="welcome\n")


async def retry(request):
    """Waits before it tries again, with the wrong sleep."""
    time.sleep(0.12)
    return web.Response(text="tried again\n")


async def login(request):
    """Hashes a password as slowly as it should, but on the loop."""
    hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 400_000)
    return web.Response(text="logged in\n")


async def price(request):
    """Asks another service with a blocking client."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    port = request.app["slow_port"]
    await asyncio.sleep(0)
    opener.open("http://127.0.0.1:%d/" % port).close()
    return web.Response(text="42\n")


async def stock(request):
    """Waits for a lock that a thread holds for long."""
    threading.Thread(target=hold_lock).start()
    await asyncio.sleep(0.02)
    with LOCK:
        return web.Response(text="in stock\n")


async def report(request):
    """Runs another program, and waits for it."""
    subprocess.run(["sleep", "0.15"], check=True)
    return web.Response(text="done\n")


async def order(request):
    """Writes a journal and makes sure that it is on the disk."""
    path = os.path.join(SCRATCH, "journal")
    with open(path, "wb") as journal:
        for _ in range(40):
            journal.write(BLOCK)
            journal.flush()
            os.fsync(journal.fileno())
    os.unlink(path)
    return web.Response(text="ordered\n")


def hold_lock():
    with LOCK:
        time.sleep(0.2)


def slow_server():
    """The other service: a process of its own that takes its time."""
    code = (
        "import http.server, time\n"
        "class Slow(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        time.sleep(0.18); self.send_response(204); self.end_headers()\n"
        "    def log_message(self, *a): pass\n"
        "s = http.server.HTTPServer(('127.0.0.1', 0), Slow)\n"
        "print(s.server_port, flush=True); s.serve_forever()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    return child, int(child.stdout.readline())


async def stop_children(app):
    app["slow"].terminate()
    app["slow"].wait()
    os.rmdir(SCRATCH)


def main():
    app = web.Application()
    app["slow"], app["slow_port"] = slow_server()
    app.on_cleanup.append(stop_children)
    pages = [home, retry, login, price, stock, report, order]
    app.add_routes([web.get("/" + page.__name__, page) for page in pages])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
