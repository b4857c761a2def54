"""A bare ASGI application: /stall blocks for 100 ms; the answer names the process that gave it."""
import json
import os
import time


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    start = time.monotonic()
    if scope["path"] == "/stall":
        time.sleep(0.1)
    body = json.dumps({"pid": os.getpid(), "start": start, "end": time.monotonic()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
