"""An aiohttp service: / answers at once, /stall blocks for ?ms= milliseconds and says when.

    web_aiohttp.py PORT [uvloop]
"""
import asyncio
import sys
import time

from aiohttp import web


async def root(request):
    await asyncio.sleep(0)
    return web.Response(text="ok")


async def stall(request):
    start = time.monotonic()
    time.sleep(float(request.query.get("ms", "100")) / 1000)
    return web.json_response({"start": start, "end": time.monotonic()})


def make_app():
    app = web.Application()
    app.add_routes([web.get("/", root), web.get("/stall", stall)])
    return app


def serve(app):
    if sys.argv[2:] == ["uvloop"]:
        import uvloop

        uvloop.install()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    serve(make_app())
