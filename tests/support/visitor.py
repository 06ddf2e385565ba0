"""People who visit the server's pages with a real browser: what they see, and whatever goes wrong behind it."""

import contextlib
import os
import re
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

ARTEFACTS = Path(__file__).parents[2] / "build" / "screenshots"

PATIENCE_MS = 60_000
"""For what has to come: a busy machine takes its time."""

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The one without windows first: it takes a third of the time."""

DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}
NIGHT: dict[str, Any] = {"color_scheme": "dark"}

SPY = """
window.alert = window.confirm = window.prompt = (...words) => { window.harm = String(words); };
addEventListener("securitypolicyviolation", (event) => console.error(`violation of ${event.violatedDirective}: ${event.blockedURI}`));
"""
"""Runs before the page: scripts that got in would say so, and so does the browser of what the page's policy has stopped."""

expect.set_options(timeout=PATIENCE_MS)


def installed() -> str | None:
    """The browser of this machine: the one that SWITCHBOARD_BROWSER names, else a Chromium on the path; None if there is none."""
    named = os.environ.get("SWITCHBOARD_BROWSER")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Visitor:
    """Somebody at a page of the server, in a tab. `faults` is what the browser complains of."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    @classmethod
    async def arrive(cls, context: BrowserContext, url: str, *, ready: bool = True) -> "Visitor":
        visitor = cls(await context.new_page(), url)
        visitor.page.on("console", visitor._console)
        visitor.page.on("pageerror", lambda error: visitor.faults.append(f"error: {error}"))
        await visitor.page.goto(url)
        if ready:
            await expect(visitor.words.or_(visitor.secret).first).to_be_visible()
        return visitor

    def _console(self, message: ConsoleMessage) -> None:
        """A request that failed is the network's fault, or the server's, and tested for by what the page makes of it."""
        if message.type in ("error", "warning") and not re.match(
            r"Failed to load resource|WebSocket connection to \S+ failed", message.text
        ):
            self.faults.append(f"{message.type}: {message.text}")

    # -- what there is to see --------------------------------------------------------------------------------------------------------------

    def find(self, selector: str, **more: Any) -> Locator:
        return self.page.locator(selector, **more)

    @property
    def words(self) -> Locator:
        return self.find("#words")

    @property
    def secret(self) -> Locator:
        return self.find("#secret")

    async def transcript(self) -> list[str]:
        """What was said and written, in the order of the page."""
        return [text.strip() for text in await self.find("#log .words > .text").all_inner_texts()]

    async def sees(self, *texts: str) -> None:
        """Wait until exactly this is the conversation."""
        await expect(self.find("#log .words > .text")).to_have_text(list(texts), use_inner_text=True)

    async def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    async def barriers(self) -> list[str]:
        """What axe finds that keeps people out."""
        found = await Axe().run(self.page)
        return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found.response["violations"]]

    async def picture(self, name: str) -> None:
        """Keep what is seen, for people."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=ARTEFACTS / f"{name}.png", animations="disabled")

    # -- what one can do -------------------------------------------------------------------------------------------------------------------

    async def say(self, text: str) -> None:
        await self.words.fill(text)
        await self.words.press("Enter")


@dataclass
class Visitors:
    """All who come in one test; each `tab` of a `context` shares what the browser keeps."""

    browser: Browser
    tabs: list[Visitor] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def context(self, **options: Any) -> AsyncGenerator[BrowserContext]:
        context = await self.browser.new_context(
            **{"locale": "en-GB", "timezone_id": "Europe/Helsinki", "reduced_motion": "reduce", **DESK, **options}
        )
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(SPY)
        try:
            yield context
        finally:
            await context.close()

    async def tab(self, context: BrowserContext, url: str, *, ready: bool = True) -> Visitor:
        visitor = await Visitor.arrive(context, url, ready=ready)
        self.tabs.append(visitor)
        return visitor

    @contextlib.asynccontextmanager
    async def visit(self, url: str, *, ready: bool = True, **options: Any) -> AsyncGenerator[Visitor]:
        async with self.context(**options) as context:
            yield await self.tab(context, url, ready=ready)
