"""The product, as `switchboard serve` runs it, on a port of its own, with the menu on every line."""

import sys

from benchmarks.calls import ACCOUNT, LOCALE, TOKEN
from benchmarks.control import Control, run
from switchboard.server import serve
from switchboard.settings import Settings
from workflows.registry import Registry


def settings(store_url: str) -> Settings:
    """The product's defaults but for what a benchmark has to know."""
    values = {
        "lines": {f"{channel}:*": {"workflow": "benchmarks.menu:menu", "locale": LOCALE} for channel in ("phone", "alexa")},
        "server": {"port": 0},
        "store": {"url": store_url},
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
    }
    return Settings.model_validate(values, context=Registry())


async def main() -> None:
    control = Control()
    await serve(settings(sys.argv[1]), lambda url: control.tell({"address": url.removeprefix("http://")}), control.stop)


if __name__ == "__main__":
    run(main)
