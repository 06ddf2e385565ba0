"""`switchboard serve` as a process of its own, to be killed and started again."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from support.ports import free_ports

from telephony.simulators.phone import Phone

SWITCHBOARD = Path(sys.executable).parent / "switchboard"
SUPPORT = Path(__file__).parent

numbers = itertools.count()


class ServerProcess:
    """A server in `folder` (its working directory, with its settings and its data). It keeps its port from start to start."""

    def __init__(
        self, folder, settings='[lines]\n"phone:*" = "conversations:echo"\n', port=0, data=".switchboard", options=(), **environment
    ):
        self.folder = folder
        self.options = options
        self.port = port
        self.data = data
        self.process = None
        self.url = ""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "switchboard.toml").write_text(settings)
        link = folder / "conversations.py"
        if not link.exists():
            link.symlink_to(SUPPORT / "conversations.py")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("TWILIO_", "REDIS_", "PUBLIC_"))}
        self.environment = {**clean, **environment}

    def start(self, *, wait=True):
        self.port = self.port or free_ports(1)[0]
        self.log = self.folder / f"server-{next(numbers)}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [SWITCHBOARD, "serve", "--port", str(self.port), "--data", self.data, *self.options],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while wait:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", self.output()):
                self.port = int(found[1])
                self.url = f"http://127.0.0.1:{self.port}"
                break
            assert self.process.poll() is None, self.output()
            time.sleep(0.01)
        return self

    def output(self):
        return self.log.read_text(errors="replace")

    def end(self, number=signal.SIGTERM):
        """Send a signal, wait, and give the exit code; killed servers leave their Valkey to the next."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill(self):
        self.end(signal.SIGKILL)

    def phone(self, **options):
        secrets = tomllib.loads((self.folder / self.data / "secrets.toml").read_text())
        options = {"from_": "+12025550199", "to": "+15550100", "patience": 40, "speed": 20, **options}
        return Phone(self.url, secrets["twilio_auth_token"], secrets["twilio_account_sid"], **options)
