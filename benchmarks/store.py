"""The store of a run: the Valkey that comes with the server, as the server starts it, in a directory that goes when the run ends."""

import sys
import tempfile
from pathlib import Path

from benchmarks.control import Control, run
from switchboard.embedded import embedded_valkey


async def main() -> None:
    control = Control()
    with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder:
        async with embedded_valkey(Path(folder), sys.argv[1]) as url:  # type: ignore[arg-type]  # one of the two settings
            control.tell({"url": url})
            await control.stop.wait()


if __name__ == "__main__":
    run(main)
