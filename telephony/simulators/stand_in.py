"""How a stand-in for a vendor's cloud is served."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served(app: web.Application, host: str, port: int) -> AsyncGenerator[str, None]:
    """Serve an application; gives its address, `http://host:port`. Raises `OSError` when the port is taken.

    Who hangs up ends what was done for them, and the end waits for nobody: clients of a vendor bear that.
    """
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
