"""Who may use the phone on the page: whoever sits at this machine, or knows the token.

The phone sends webhooks in Twilio's name, so a stranger must not have it. Being at this machine is more than a loopback address: a page of
another site may have its own name resolved to that address (DNS rebinding), which the header Host shows; a proxy in front connects from
there for the whole world, which its headers and our settings show; and a page of another site may open a socket to us, which the header
Origin shows (https://www.rfc-editor.org/rfc/rfc6455#section-10.2). Whoever has shown the token once is known by a cookie that only this
page gets.
"""

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from switchboard.settings import Settings

COOKIE = "switchboard-phone"
COOKIE_SECONDS = 12 * 3600

ELSEWHERE = (
    "The phone on this page is for whoever sits at the server's machine, since it speaks in Twilio's name. Open it there at "
    "http://127.0.0.1 with the server's port, or set PHONE_PAGE_TOKEN, a secret of at least 16 characters, in the server's environment "
    "and start it again: then the page asks for it.\n"
)
FOREIGN = "This request comes from the page of another site. Open the phone on this server's own page, /phone.\n"

_BY_PROXY = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")


class Door:
    """The settings' view of who may come in."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        self._exposed = server.public_url is not None or bool(server.trusted_proxies)
        self._own = "" if server.public_url is None else urlsplit(server.public_url).netloc.lower()
        token = settings.phone_page_token
        self._token = None if token is None else token.get_secret_value().encode()

    @property
    def has_token(self) -> bool:
        """Whether a token opens the door at all."""
        return self._token is not None

    def is_open(self, request: web.Request) -> bool:
        """Whether the sender is at this machine, or has shown the token."""
        shown = request.cookies.get(COOKIE, "")
        if self._token is not None and hmac.compare_digest(shown.encode(), self._pass(self._token)):
            return True
        return not self._exposed and _is_here(request)

    def is_own(self, request: web.Request) -> bool:
        """Whether a request that does something comes from our own page; a browser always says so."""
        origin = request.headers.get("Origin", "").lower().partition("://")[2]
        return origin in {request.headers.get("Host", "").lower(), self._own} - {""}

    def admit(self, request: web.Request, response: web.Response, token: str) -> bool:
        """Have the browser remember that it has shown the token; False if it is another one."""
        if self._token is None or not hmac.compare_digest(token.encode(), self._token):
            return False
        secure = request.headers.get("Origin", "").lower().startswith("https://")
        response.set_cookie(
            COOKIE, self._pass(self._token).decode(), max_age=COOKIE_SECONDS, path="/phone", httponly=True, samesite="Strict", secure=secure
        )
        return True

    @staticmethod
    def _pass(token: bytes) -> bytes:
        return hmac.digest(token, b"the phone on the page", "sha256").hex().encode()


def _is_here(request: web.Request) -> bool:
    """Whether it was sent at this machine, to a name of this machine, with nobody in between."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:  # a bracket that is not closed
        return False
    named = host == "localhost" or host.endswith(".localhost") or _is_loopback(host)
    return named and _is_loopback(request.remote or "") and not any(name in request.headers for name in _BY_PROXY)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)
