"""What is logged goes to standard error, so that standard output holds what a command was asked for.

At a terminal a line is for people, anywhere else it is JSON. Modules log as Python does; `session`, `turn` and what else a line is about
come as `extra`, or are bound to the context in which it is written. Nothing is rendered that is not written.
"""

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

from switchboard.hidden import Hidden, secrets_of
from switchboard.settings import Settings

TURNS: Final = "switchboard.turns"
"""The logger of a line for each input."""

_FIRST: Final = ("at", "level", "event", "session", "turn")
"""What a line begins with."""

_LEFT_BY_OTHERS: Final = ("message", "asctime")
"""What other handlers' formatters leave in a record."""

_hidden: Final = Hidden()


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record, and hides what no log may hold in the line as it stands."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return _hidden.hide(super().format(record))


def configure(level: int, stream: TextIO | None = None) -> None:
    """Write what is logged from `level` on, one line each, to `stream` (standard error)."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _put_in_order,
    ]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(timestamp_key="at", exception_formatter=structlog.dev.plain_traceback, sort_keys=False)]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Formatter(processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render], foreign_pre_chain=shared)
    )
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each.formatter, _Formatter)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line for every request is for the proxy in front
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # the same for those to a model, with the whole URL
    logging.getLogger(TURNS).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def heed(settings: Settings) -> None:
    """Log as the settings tell, and hide what of them is a secret; may raise `SettingsError`."""
    hide(secrets_of(settings))
    logging.getLogger(TURNS).setLevel(logging.INFO if settings.logs.turns else logging.WARNING)


def hide(secrets: Iterable[str]) -> None:
    """Show these nowhere."""
    _hidden.add(secrets)


def _put_in_order(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    first = {name: line[name] for name in _FIRST if name in line}
    return first | {name: value for name, value in line.items() if name not in first and name not in _LEFT_BY_OTHERS}
