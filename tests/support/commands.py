"""The command line, run as people run it, in a folder with a workflow, on histories that real runs wrote into a real Valkey."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.shop import AT, Step, record, write_shop

from handlers.history import Append, partition_of
from handlers.redis_history import RedisHistory
from switchboard.settings import ENVIRONMENT
from workflows.run import Run

SWITCHBOARD = Path(sys.executable).parent / "switchboard"
FOREIGN = b"\x02\xff another format"


def history_key(session: str) -> str:
    """Where the store keeps a history (docs/format.md)."""
    return f"sb:{{{partition_of(session)}}}:h:{session}"


class Shop:
    """A working directory with a workflow in it, and the commands that are run there."""

    def __init__(self, folder: Path, url: str | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.url = url
        self.registry = write_shop(folder)
        (folder / "switchboard.toml").write_text('[lines]\n"phone:*" = "corner:shop"\n')

    def rewrite(self, code: str) -> None:
        """Change the code in front of the command."""
        self.registry = write_shop(self.folder, code)

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | ({"REDIS_URL": self.url} if self.url else {}) | variables
        return subprocess.run(
            [SWITCHBOARD, *words], cwd=self.folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def record(self, session: str, *steps: Step | Callable[[Run], Step], at: int = AT, **changes: Any) -> None:
        """Store what a run of the code in front makes of these inputs."""
        asyncio.run(self._append(session, record(self.registry, session, *steps, at=at, **changes)))

    async def _append(self, session: str, elements: Sequence[bytes]) -> None:
        assert self.url is not None
        history = RedisHistory(self.url, "test.1")
        await history.open()
        for start in range(0, len(elements), 500):
            tail = elements[start - 1][1:9] if start else b""
            reply = await history.append(Append(session, start, tail, tuple(elements[start : start + 500])))
            assert reply.status == "ok"
        await history.close()
