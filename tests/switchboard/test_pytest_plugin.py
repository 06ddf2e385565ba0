"""Histories as tests: pytest itself is run, in a folder with a workflow and histories of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Shop
from support.shop import BUG, LONGER, PIN, SHOP, TEA, price, record

from switchboard.history_files import Recorded, write
from switchboard.replay import replay

ROOT = Path(__file__).parents[2]


class Project:
    """A folder with a workflow, histories of it, and perhaps tests."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder, None)
        self.folder = folder

    def record(self, path: str, *steps: object, session: str = "phone:CA1", words: bool = True) -> None:
        """Keep a history of the code in front, with what that said."""
        elements = record(self.shop.registry, session, *steps)  # type: ignore[arg-type]
        led_to = replay(session, elements, self.shop.registry).led_to if words else ()
        write(self.folder / path, Recorded(session, tuple(elements), led_to=led_to))

    def pytest(self, *words: str, installed: bool = False) -> subprocess.CompletedProcess[str]:
        """Run pytest with the plugin alone, or with every one that is installed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | ({} if installed else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
        plugins = ("no:xdist",) if installed else ("switchboard.pytest_plugin",)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", *plugins, *words],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a project")


def outcomes(done: subprocess.CompletedProcess[str]) -> str:
    return re.sub(r"\x1b\[\d*m|=| in [\d.]+s.*", "", done.stdout.splitlines()[-1]).strip()


def test_every_history_of_the_folder_is_a_test(project: Project) -> None:
    project.record("histories/one.json", PIN, TEA, price)
    project.record("histories/deep/two.json", PIN)
    project.record("elsewhere/three.json", PIN)
    (project.folder / "test_it.py").write_text("def test_it():\n    pass\n")
    done = project.pytest("--switchboard-replay=histories", "-v", installed=True)
    assert (done.returncode, outcomes(done)) == (0, "3 passed"), done.stdout
    assert "histories/one.json::phone:CA1 PASSED" in done.stdout
    assert "histories/deep/two.json::phone:CA1 PASSED" in done.stdout
    assert "elsewhere" not in done.stdout


def test_other_words_fail_with_event_step_and_the_difference(project: Project) -> None:
    project.record("histories/one.json", PIN, TEA, price)
    project.record("histories/two.json", PIN, words=False)
    project.shop.rewrite(SHOP.replace("1 for tea", "1 for green tea").replace("Welcome.", "Hello."))
    done = project.pytest("--switchboard-replay=histories")
    assert (done.returncode, outcomes(done)) == (1, "2 failed")
    assert (
        """corner:shop would say something else at event 1:
  where      after listen digits 4 (step 0), before listen digits 1 (step 1)
  - says "1 for tea, 2 for coffee"
  + says "1 for green tea, 2 for coffee"
    listens for digits {"n":1}
If that is meant, take it over with `switchboard replay FILE --accept`.
"""
        in done.stdout
    )
    assert (
        """corner:shop would say something else at event 0:
  where      after an opening of corner:shop, before listen digits 4 (step 0)
  now says "Hello."
"""
        in done.stdout
    ), "without what was said, there is still its checksum"


def test_a_divergence_fails_with_event_and_step_from_both_sides(project: Project) -> None:
    project.record("histories/one.json", PIN, TEA, price)
    project.shop.rewrite(LONGER)
    done = project.pytest("--switchboard-replay=histories")
    assert (done.returncode, outcomes(done)) == (1, "1 failed")
    assert (
        """corner:shop diverged at event 1:
  on record  an input (pressed), upon which it waited for listen digits 1 (step 1)
  wanted     listen digits 2 (step 1)
Guard the change with talk.patched(...), or bring the old code back.
"""
        in done.stdout
    )
    project.shop.rewrite(BUG)
    assert (
        "corner:shop failed at event 2:\n  why        ValueError: invalid literal"
        in project.pytest("--switchboard-replay=histories").stdout
    )


def test_a_file_that_holds_none_is_an_error_and_so_is_a_folder_without_any(project: Project) -> None:
    project.record("histories/one.json", PIN)
    (project.folder / "histories" / "two.json").write_text("{}")
    done = project.pytest("--switchboard-replay=histories")
    assert done.returncode == 2
    assert "two.json holds no histories" in done.stdout
    (project.folder / "empty").mkdir()
    for name in ("empty", "gone"):
        done = project.pytest(f"--switchboard-replay={name}")
        assert done.returncode == 4
        assert f"ERROR: --switchboard-replay: there are no histories (*.json) in {name}." in done.stderr
    project.record(".hidden/one.json", PIN)
    done = project.pytest("--switchboard-replay=.hidden")
    assert done.returncode == 4
    assert f"ERROR: --switchboard-replay: pytest does not look into {project.folder / '.hidden'}." in done.stderr + done.stdout


def test_a_folder_that_is_looked_through_anyway_is_collected_once_and_a_test_named_alone_stays_alone(project: Project) -> None:
    (project.folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\naddopts = --switchboard-replay=histories\n")
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "test_it.py").write_text("def test_it():\n    pass\n")
    for number in range(2):
        project.record(f"histories/{number}.json", PIN, session=f"phone:CA{number}")
    assert outcomes(project.pytest()) == "3 passed"
    assert outcomes(project.pytest(".")) == "3 passed"
    assert outcomes(project.pytest("histories/1.json")) == "1 passed"
    assert outcomes(project.pytest("tests")) == "1 passed"


def test_a_run_without_histories_imports_nothing_of_ours_but_the_plugin(project: Project) -> None:
    (project.folder / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    ours = {name for name in sys.modules if name.partition('.')[0] in ('workflows', 'handlers', 'switchboard', 'telephony')}\n"
        "    assert ours == {'switchboard', 'switchboard.pytest_plugin'}\n"
    )
    done = project.pytest(installed=True)
    assert (done.returncode, outcomes(done)) == (0, "1 passed"), done.stdout


def test_the_histories_of_our_own_conversations_are_repeated(project: Project) -> None:
    done = project.pytest(f"--switchboard-replay={ROOT / 'tests' / 'golden'}")
    assert (done.returncode, outcomes(done)) == (0, "8 passed"), done.stdout
