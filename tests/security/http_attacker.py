"""Runs as a user without rights and speaks to the daemon in bytes of its own making.

    http_attacker.py ask          reads a JSON array of [address, base64 of the request], writes one of
                                  the base64 of the answers; "" where the connection had no answer
    http_attacker.py guess        reads [address, path, [user names], clients], guesses passwords until
                                  its input ends, then writes how often each status came

An address is [host, port] or the path of a local socket.
"""
import base64
import collections
import contextlib
import json
import socket
import sys
import threading
import time

PATIENCE = 30


def connect(address):
    if isinstance(address, str):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(PATIENCE)
        one.connect(address)
        return one
    return socket.create_connection(tuple(address), timeout=PATIENCE)


def read_all(one):
    answer = b""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            answer += data
    return answer


def ask(address, request):
    try:
        with contextlib.closing(connect(address)) as one:
            one.sendall(request)
            return read_all(one)
    except OSError:
        return b""


def guess(address, path, users, over, statuses):
    while not over.is_set():
        user = users[time.monotonic_ns() % len(users)]
        token = base64.b64encode(b"%s:%d" % (user.encode(), time.monotonic_ns())).decode()
        request = "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % path
        with contextlib.suppress(OSError), contextlib.closing(connect(address)) as one:
            one.sendall((request + "Authorization: Basic %s\r\n\r\n" % token).encode())
            answer = read_all(one)
            retry = b"Retry-After" in answer
            statuses[answer[9:12].decode() + ("+" if retry else "")] += 1


def main():
    if sys.argv[1] == "ask":
        asked = json.load(sys.stdin)
        answers = [ask(address, base64.b64decode(request)) for address, request in asked]
        json.dump([base64.b64encode(answer).decode() for answer in answers], sys.stdout)
        return
    address, path, users, clients = json.loads(sys.stdin.readline())
    over, statuses = threading.Event(), collections.Counter()
    arguments = (address, path, users, over, statuses)
    threads = [threading.Thread(target=guess, args=arguments) for _ in range(clients)]
    for thread in threads:
        thread.start()
    print("guessing", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(statuses))


main()
