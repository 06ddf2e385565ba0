"""What is logged goes to standard error, so that standard output holds what a command was asked for."""

import logging
import sys

import structlog


def configure(level: int) -> None:
    """Write what is logged from `level` on, one line each."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line for every request is for the proxy in front
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # the same for those to a model, with the whole URL
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
