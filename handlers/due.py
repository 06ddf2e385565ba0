"""What falls due in one session: its alarms, and the slow entry that looks after errands."""

from collections.abc import Mapping
from types import MappingProxyType

from handlers import errands
from handlers.alarms import AHEAD_MS
from handlers.history import Alarm
from handlers.house import House
from handlers.journal import TRIES, WATCH, Journal
from handlers.messages import Due
from handlers.work import Work
from workflows.events import Fired
from workflows.run import Run

NOTHING: Mapping[tuple[int, str], int] = MappingProxyType({})
"""What most sessions have, whose own empty tables would be a tenth of their memory."""

FAILED_MS = 300_000
"""How long the alarms of a failed session are put off: its code may have been mended by then."""


class DueEntries:
    """One session's part of the due index. A `Due` is a hint: the history at its exact tail decides what it is worth."""

    __slots__ = ("_house", "_journal", "_timed", "_work")

    def __init__(self, house: House, journal: Journal, work: Work) -> None:
        self._house = house
        self._journal = journal
        self._work = work
        self._timed: Mapping[tuple[int, str], int] = NOTHING

    def set_timers(self, run: Run) -> None:
        """Have local timers for what the run wants, so that sweeping is for the dead and the long asleep."""
        if not (run.alarms or self._timed):
            return
        wanted = {} if run.failure is not None else {(run.opened.gen, step): at for step, at in run.alarms.items()}
        for gen, step in self._timed.keys() - wanted.keys():
            self._house.alarms.clear(self._journal.session, gen, step)
        for gen, step in wanted.keys() - self._timed.keys():
            self._house.alarms.set(self._journal.session, Alarm(gen, step, wanted[gen, step]))
        self._timed = wanted or NOTHING

    async def fire(self, due: Due) -> None:
        """Feed every alarm that is due, in due order, and clear the entry if it is not wanted. Raises `StoreError`."""
        journal = self._journal
        if journal.state == "unknown":
            await journal.load()
        if journal.state == "absent":
            if await self._house.history.clear_due(journal.session, due.gen, due.step):
                return
            await journal.load()
        for _ in range(TRIES):
            run = journal.run
            if run is None or await self._judge(run, due):
                return
            self._house.counters["conflicts"] += 1

    async def _judge(self, run: Run, due: Due) -> bool:
        """Do what the entry calls for; False: others were faster, and the journal is fresh."""
        journal, now = self._journal, self._house.history.now()
        if run.failure is not None:
            return await journal.claim(put_off=Alarm(due.gen, due.step, now + FAILED_MS))
        if (due.gen, due.step) == (run.opened.gen, WATCH):
            return await self._watch(run)
        here = due.step if due.gen == run.opened.gen else ""
        cleared = False
        while run.restart is None and (ready := sorted((at, step) for step, at in run.alarms.items() if at <= now)):
            at, step = ready[0]
            if not await journal.append(journal.event(Fired, step)):
                return False
            self._house.counters["alarms"] += 1
            self._house.counters["lateness_ms"] += now - at
            self._house.counters.lateness.note((now - at) / 1000)
            cleared |= step == here
        if here in run.alarms and run.restart is not None and run.unsent:
            return True  # it goes with this generation, whose last words may take a while
        if here in run.alarms:  # too early, or in the way of a restart
            alarm = Alarm(due.gen, here, run.alarms[here])
            self._house.alarms.set(journal.session, alarm)
            return alarm.at <= now + AHEAD_MS or await journal.claim(put_off=alarm)
        return cleared or await journal.claim(drop=(due.gen, due.step))

    async def _watch(self, run: Run) -> bool:
        """The slow entry has come: look after the errands of this session, or after the notice of its own end."""
        if self._work.owes_notice(run):
            self._work.notice = "owed"
        elif self._work.watch(run):
            errands.watch(self._house.post, run)
            self._journal.watch_again()
            return await self._journal.claim()
        return await self._journal.claim(drop=(run.opened.gen, WATCH))
