"""An asyncio program whose loop stalls once in each of thousands of functions, all of other names,
with control characters, markup and whatever turns a line around in them.

    many_names.py COUNT        prints "done" after them, and polls on until it is ended
"""
import asyncio
import sys
import time
import types

STRANGE = ["<img src=x onerror=alert(1)>", "\x1b[2J\x07", "\u202egnp\u2066", '"}\\\n{a="', "\udc80\U0010ffff"]


def block():
    time.sleep(0.0012)


def named(number):
    name = "f%d%s" % (number, STRANGE[number % len(STRANGE)])
    code = block.__code__.replace(co_name=name, co_qualname=name, co_filename="/srv/\x1b]0;a\r%d.py" % number)
    return types.FunctionType(code, globals())


async def main(count):
    functions = [named(number) for number in range(count)]  # alive: an address is one function's
    for function in functions:
        function()
        await asyncio.sleep(0.0001)
    print("done", flush=True)
    while True:
        await asyncio.sleep(0.01)


asyncio.run(main(int(sys.argv[1])))
