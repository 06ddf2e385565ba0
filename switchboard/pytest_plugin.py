"""Recorded histories as tests: `pytest --switchboard-replay=DIR` replays every one in that folder with the code in front of it.

One history is one test. It fails where the code does not repeat what is on record, and where it would say something else. Every run of
pytest imports this module, so what it works with is imported when there are histories.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

_SUFFIX: Final = ".json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take `--switchboard-replay`."""
    parser.getgroup("switchboard").addoption(
        "--switchboard-replay",
        metavar="DIR",
        action="append",
        default=[],
        help="Replay the histories in this folder, as `switchboard sessions export` writes them: a test each. May be given again.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have the folders looked through, unless the command line itself says where to look."""
    places = config.stash[_PLACES] = [_found(config, name) for name in config.getoption("--switchboard-replay")]
    if config.args_source is not config.ArgsSource.ARGS:
        looked_through = [config.invocation_params.dir / arg for arg in config.args]
        config.args += [str(place) for place in places if not any(place.is_relative_to(each) for each in looked_through)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "HistoryFile | None":
    """Take the files of histories in those folders."""
    if file_path.suffix != _SUFFIX or not any(file_path.is_relative_to(place) for place in parent.config.stash[_PLACES]):
        return None
    return HistoryFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)  # before any are left out on purpose
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to go on without the histories that were asked for: a test that has nothing to look at would never fail."""
    if config.args_source is config.ArgsSource.ARGS or session.testsfailed:
        return
    for place in config.stash[_PLACES]:
        if not any(isinstance(item, History) and item.path.is_relative_to(place) for item in items):
            raise pytest.UsageError(
                f"--switchboard-replay: pytest does not look into {place}. See its settings norecursedirs and --ignore."
            )


class HistoryFile(pytest.File):
    """A file of histories."""

    def collect(self) -> Iterator["History"]:
        """A test for each."""
        from switchboard import history_files  # noqa: PLC0415 - see above
        from switchboard.errors import HistoryFileError  # noqa: PLC0415 - the same

        try:
            histories = history_files.read(self.path)
        except HistoryFileError as error:
            raise self.CollectError(str(error)) from None
        for number, recorded in enumerate(histories, 1):
            name = recorded.session if len(histories) == 1 else f"{number} {recorded.session}"
            yield History.from_parent(self, name=name, recorded=recorded)


class History(pytest.Item):
    """A history, to be replayed."""

    def __init__(self, *, recorded: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self._recorded = recorded

    def runtest(self) -> None:
        """Replay it."""
        from switchboard.verdicts import judge  # noqa: PLC0415 - see above

        verdict = judge(self.name, self._recorded, self._registry())
        if verdict.differs or verdict.rewordings:
            pytest.fail(_report(verdict), pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it is, for pytest."""
        return self.path, None, self.name

    def _registry(self) -> Any:
        """The workflows, imported once in a run of pytest, and from the working directory as the commands do."""
        from switchboard.workdir import join_path  # noqa: PLC0415 - see above
        from workflows.registry import Registry  # noqa: PLC0415 - the same

        if _REGISTRY not in self.config.stash:
            join_path()
            self.config.stash[_REGISTRY] = Registry()
        return self.config.stash[_REGISTRY]


_PLACES: Final = pytest.StashKey[list[Path]]()
_REGISTRY: Final = pytest.StashKey[Any]()


def _found(config: pytest.Config, name: str) -> Path:
    """A folder of histories, looked for where pytest was called and beside its settings."""
    for root in (config.invocation_params.dir, config.rootpath):
        place = Path(os.path.abspath(root / name))  # noqa: PTH100 - resolve() would follow links, and pytest does not
        if any(place.rglob(f"*{_SUFFIX}")):
            return place
    raise pytest.UsageError(
        f"--switchboard-replay: there are no histories (*{_SUFFIX}) in {name}. `switchboard sessions export` writes some."
    )


def _report(verdict: Any) -> str:
    from switchboard.replay_report import at, in_words, other_words  # noqa: PLC0415 - see above

    lines: list[str] = []
    for rewording in verdict.rewordings:
        lines.append(f"{verdict.workflow} would say something else{at(rewording.position)}:")
        lines += [line.plain for line in other_words(rewording)]
    if verdict.differs:
        lines.append(f"{verdict.workflow} {verdict.outcome}{at(verdict.position)}:")
        lines += [line.plain for line in in_words(verdict)]
        lines.append("Guard the change with talk.patched(...), or bring the old code back.")
    else:
        lines.append("If that is meant, take it over with `switchboard replay FILE --accept`.")
    return "\n".join(lines)
