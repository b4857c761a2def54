"""The service of the tests of shapes: every loop that runs tick() stalls in price_all()."""
import asyncio
import time


def price_all():
    time.sleep(0.18)


async def tick():
    await asyncio.sleep(1)
    for _ in range(3):
        price_all()
        await asyncio.sleep(0.15)


async def app(scope, receive, send):
    """An ASGI application that does it from its start on."""
    assert scope["type"] == "lifespan"
    while (await receive())["type"] == "lifespan.startup":
        app.task = asyncio.ensure_future(tick())
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def main():
    asyncio.run(tick())


if __name__ == "__main__":
    main()
