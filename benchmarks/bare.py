"""Yardstick (a): a bare aiohttp endpoint that reads the form and answers a constant."""

from aiohttp import web

from benchmarks.calls import CONSTANT
from benchmarks.control import Control, run
from benchmarks.yardstick import serve


async def voice(request: web.Request) -> web.Response:
    await request.post()
    return web.Response(text=TEXT, content_type="text/xml")


TEXT = CONSTANT.decode()


async def main() -> None:
    await serve(voice, Control())


if __name__ == "__main__":
    run(main)
