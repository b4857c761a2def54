"""The daemon, and an attacker beside it: a process of a user without rights."""
import base64
import contextlib
import importlib.util
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# What the end-to-end tests share, under a name of its own.
_spec = importlib.util.spec_from_file_location("e2e_shared", HERE.parent / "e2e" / "conftest.py")
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)

NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
ATTACKER = (HERE / "http_attacker.py").read_text()  # the file itself may be out of nobody's reach
# Of "secret" and "hidden", of the cost that htpasswd -C 10 gives: some 60 ms each.
USERS = """
basic_auth_users:
  alice: $2b$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u
  bob: $2b$10$bbcdefghijklmnopqrstuuGjHjpbbAAhNaQRIMoY4wwmnOYaz2/qK
"""


@contextlib.contextmanager
def daemon(folder, *options, address=None):
    """`loopsight run`, watching; yields its port, or its log where `address` is another one."""
    log = folder / "log"
    port = shared.free_port()
    address = address or "127.0.0.1:%d" % port
    command = [shared.LOOPSIGHT, "run", "--web.listen-address", address, *map(str, options)]
    with open(log, "w") as errors, shared.running(command, stderr=errors) as process:
        shared.wait_until(lambda: "watching" in log.read_text() or process.poll() is not None, 60)
        assert process.poll() is None, log.read_text()
        yield port


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode(errors="replace").split("\r\n")
        self.raw = raw
        # 0: the connection was closed without a word.
        self.status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
        pairs = (line.partition(":") for line in lines[1:])
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}

    def __repr__(self):
        return "%d %r" % (self.status, self.raw[:300])


def attack(mode, **options):
    return subprocess.Popen(
        [shared.PYTHON, "-c", ATTACKER, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd="/", **AS_NOBODY, **options,
    )


def ask_raw(address, *requests):
    """Each request, as bytes, on a connection of its own."""
    process = attack("ask")
    asked = [[address, base64.b64encode(one).decode()] for one in requests]
    output, _ = process.communicate(json.dumps(asked), timeout=600)
    return [Answer(base64.b64decode(one)) for one in json.loads(output)]


def request(target="/metrics", host="localhost", *headers, method="GET", version="HTTP/1.1"):
    lines = ["%s %s %s" % (method, target, version), "Connection: close"]
    lines += ["Host: " + host] if host is not None else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


@contextlib.contextmanager
def guessing(address, users, clients, path="/metrics"):
    """Clients that guess passwords as fast as they can; yields a dictionary of the statuses that they
    had, filled when the block has ended ("401", and "429+" with Retry-After)."""
    statuses = {}
    process = attack("guess")
    try:
        process.stdin.write(json.dumps([address, path, users, clients]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "guessing\n"
        yield statuses
        output, _ = process.communicate(timeout=120)
        statuses.update(json.loads(output))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
