"""tests/e2e's aiohttp service with an in-process watchdog: watched_aiohttp.py PORT [uvloop]"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e" / "targets"))

import watchdog  # noqa: E402  (beside this file)
import web_aiohttp  # noqa: E402  (found through the path above)

app = web_aiohttp.make_app()
app.on_startup.append(watchdog.start)
web_aiohttp.serve(app)
