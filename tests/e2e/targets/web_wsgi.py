"""A WSGI application for gunicorn's threads: no event loop, so nothing of it is ever a stall."""
import time


def app(environ, start_response):
    if environ["PATH_INFO"] == "/stall":
        time.sleep(0.1)
    start_response("200 OK", [])
    return [b"ok"]
