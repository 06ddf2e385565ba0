"""How both yardsticks listen: aiohttp as it comes, without an access log."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from benchmarks.control import Control


async def serve(endpoint: Callable[[web.Request], Awaitable[web.Response]], control: Control, path: str = "/twilio/voice") -> None:
    """Serve one endpoint on a port of its own until the other end is gone."""
    app = web.Application()
    app.add_routes([web.post(path, endpoint)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    control.tell({"address": f"127.0.0.1:{runner.addresses[0][1]}"})
    await control.stop.wait()
    await runner.cleanup()
