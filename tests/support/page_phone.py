"""The phone of the page without its page: somebody who speaks to the server by a call's socket."""

import contextlib
import json

import aiohttp


class PagePhone:
    """A call by its socket. `heard` is all that the server told."""

    def __init__(self, socket):
        self.socket = socket
        self.heard = []

    async def until(self, *kinds):
        """What is told up to an event of these kinds, included; `EOFError` when the socket is closed before."""
        told = []
        while True:
            message = await self.socket.receive(60)
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise EOFError(self.socket.close_code)
            told.append(json.loads(message.data))
            self.heard.append(told[-1])
            if told[-1]["event"] in kinds:
                return told

    async def do(self, what, *kinds, **facts):
        """Do something, and hear what comes of it; nothing is waited for if no kind is named."""
        await self.socket.send_json({"do": what, **facts})
        return await self.until(*kinds) if kinds else []

    def told(self, kind):
        return [each for each in self.heard if each["event"] == kind]

    @property
    def sid(self):
        return self.told("calling")[0]["sid"]

    @property
    def turn(self):
        return next(each["turn"] for each in reversed(self.heard) if each["event"] in ("asked", "recording"))


def said(told):
    return [each["text"] for each in told if each["event"] == "said"]


@contextlib.asynccontextmanager
async def page_phone(url, **headers):
    """A socket for a call, from a page of the server's own unless the headers say otherwise."""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/phone/call", headers={"Origin": url, **headers}) as socket:
        yield PagePhone(socket)


CALL = {"to": "+15550100", "caller": "+12025550199"}
