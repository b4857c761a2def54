"""The same for aiohttp under gunicorn."""
import asyncio

from aiohttp import web
from shop_core import tick


async def start(app):
    app["tick"] = asyncio.ensure_future(tick())


app = web.Application()
app.on_startup.append(start)
