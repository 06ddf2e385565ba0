"""The assistant on the web, in a server of this process, with the model at a given address: the whole way from HTTP to HTTP."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
from support.web_house import WebClient, WebHouse

from switchboard.plugins import opened_bindings


class AssistantHouse(WebHouse):
    """A house whose effects are bound as a server's are."""

    async def start(self) -> None:
        self._opened = contextlib.AsyncExitStack()
        self.bindings = await self._opened.enter_async_context(opened_bindings(self.settings))
        await super().start()
        self.server.sweeper.start()

    async def stop(self) -> None:
        await super().stop()
        await self._opened.aclose()


@contextlib.asynccontextmanager
async def assistant_house(store_url: str, model_url: str, **settings: Any) -> AsyncGenerator[tuple[AssistantHouse, WebClient]]:
    """A house and a client in it."""
    house = AssistantHouse(store_url, "assistant", openai_base_url=model_url, **settings)
    await house.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield house, WebClient(house.url, http)
    finally:
        await house.stop()
