"""Who may use the phone on the page: whoever knows the token; where there is none, whoever sits at this machine.

The phone sends webhooks in Twilio's name, so a stranger must not have it. `switchboard.here` tells who sits at this machine, as far as that
can be told. The page of another site may still open a socket to us, which the header Origin shows
(https://www.rfc-editor.org/rfc/rfc6455#section-10.2). Whoever has shown the token once is known by a cookie that only this page gets.
"""

import hmac
from urllib.parse import urlsplit

from aiohttp import web

from switchboard.here import Here
from switchboard.settings import Settings

COOKIE = "switchboard-phone"
COOKIE_SECONDS = 12 * 3600

ELSEWHERE = (
    "The phone on this page is for whoever sits at the server's machine, since it speaks in Twilio's name. Open it there at "
    "http://127.0.0.1 with the server's port, or set PHONE_PAGE_TOKEN, a secret of at least 16 characters, in the server's environment "
    "and start it again: then the page asks for it.\n"
)
FOREIGN = "This request comes from the page of another site. Open the phone on this server's own page, /phone.\n"


class Door:
    """The settings' view of who may come in."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        public = urlsplit(server.public_url or "")
        self._here = Here(server)
        self._own = public.netloc.lower()
        self._path = f"{public.path.rstrip('/')}/phone"
        token = settings.phone_page_token
        self._token = None if token is None else token.get_secret_value().encode()

    @property
    def has_token(self) -> bool:
        """Whether a token opens the door at all."""
        return self._token is not None

    def is_open(self, request: web.Request) -> bool:
        """Whether the sender has shown the token, or, where there is none, is at this machine."""
        if self._token is None:
            return self._here.sent(request)
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._pass(self._token))

    def is_own(self, request: web.Request) -> bool:
        """Whether a request that does something comes from our own page; a browser always says so."""
        origin = request.headers.get("Origin", "").lower().partition("://")[2]
        return origin in {request.headers.get("Host", "").lower(), self._own} - {""}

    def admit(self, request: web.Request, response: web.Response, token: str) -> bool:
        """Have the browser remember that it has shown the token; False if it is another one."""
        if self._token is None or not hmac.compare_digest(token.encode(), self._token):
            return False
        secure = request.headers.get("Origin", "").lower().startswith("https://")
        value = self._pass(self._token).decode()
        response.set_cookie(COOKIE, value, max_age=COOKIE_SECONDS, path=self._path, httponly=True, samesite="Strict", secure=secure)
        return True

    @staticmethod
    def _pass(token: bytes) -> bytes:
        return hmac.digest(token, b"the phone on the page", "sha256").hex().encode()
