"""A server with hand-written TwiML, which checks each request with Twilio's own validator."""

from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import MultiDict
from twilio.request_validator import RequestValidator

TOKEN = "an auth token of 32 characters.."
ACCOUNT = "AC" + "0" * 32


class TwilioLine:
    """`documents` maps path and query to TwiML, to a status, or to a list of either, one a request; `requests` are what came."""

    def __init__(self, documents):
        self.documents = documents
        self.requests = []
        self.port = None

    async def answer(self, request):
        form = MultiDict(await request.post())
        url = f"http://127.0.0.1:{self.port}{request.raw_path}"
        signed = RequestValidator(TOKEN).validate(url, form, request.headers.get("X-Twilio-Signature", ""))
        self.requests.append((request.raw_path, form, dict(request.headers)))
        if not signed:
            return web.Response(status=403)
        document = self.documents.get(request.raw_path, 204 if request.path == "/twilio/status" else 404)
        if isinstance(document, list):
            document = document.pop(0)
        if isinstance(document, int):
            return web.Response(status=document)
        if isinstance(document, web.Response):
            return document
        return web.Response(text=f"<Response>{document}</Response>", content_type="text/xml")

    def forms(self, path):
        return [form for requested, form, _ in self.requests if requested == path]

    @asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(app, host="127.0.0.1", port=self.port) as server:
            self.port = server.port
            yield f"http://127.0.0.1:{self.port}"
