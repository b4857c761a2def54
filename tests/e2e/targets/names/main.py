"""An application of every kind that a server may want, whose loop is blocked again and again."""
import asyncio
import time


def block():
    time.sleep(0.08)


async def blocked_again_and_again():
    while True:
        await asyncio.sleep(0.3)
        block()


started = []


def start():
    if not started:
        started.append(asyncio.get_running_loop().create_task(blocked_again_and_again()))


async def app(scope, receive, send):
    start()
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await send({"type": "lifespan.shutdown.complete"})
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def serve():
    start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
