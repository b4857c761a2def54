"""The same on loops that are not asyncio's, and on uvloop's started in each way."""
import sys

from shop_core import price_all, tick


def on_uvloop():
    import uvloop

    uvloop.run(tick())


def on_uvloop_by_hand():
    import uvloop

    uvloop.new_event_loop().run_until_complete(tick())


def on_trio():
    import trio

    async def ticks():
        await trio.sleep(1)
        for _ in range(3):
            price_all()
            await trio.sleep(0.15)

    trio.run(ticks)


def on_twisted():
    from twisted.internet import reactor

    for i in range(3):
        reactor.callLater(1 + i / 2, price_all)
    reactor.callLater(3, reactor.stop)
    reactor.run()


def on_gevent():
    import gevent
    import time

    def ticks():
        gevent.sleep(1)
        for _ in range(3):
            price_all()
            gevent.sleep(0.15)

    gevent.spawn(ticks).join()
    time.sleep(0)


def on_tornado():
    import tornado.ioloop

    tornado.ioloop.IOLoop.current().run_sync(tick)


def on_children(method):
    import multiprocessing

    import shop_core

    child = multiprocessing.get_context(method).Process(target=shop_core.main)
    child.start()
    child.join()


if __name__ == "__main__":
    globals()["on_" + sys.argv[1]](*sys.argv[2:])
