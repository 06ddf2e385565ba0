"""Toy conversations: each is the shortest one that shows a rule at work. `gen` is the number of restarts so far."""

from model.steps import LEFT, Call, Cancel, First, Gather, Listen, Restart, Say, Sleep, Start, Talk


def calls_each_turn(gen: int) -> Talk:
    while True:
        heard = yield Listen()
        value = yield Call()
        yield Say((heard, value))


def listens_or_calls(gen: int) -> Talk:
    heard = yield Listen()
    winner, value = yield First((Listen(), Call()))
    yield Say((heard, winner, value))
    yield from calls_each_turn(gen)


def listens_or_sleeps(gen: int) -> Talk:
    heard = yield Listen()
    winner, value = yield First((Listen(), Sleep()))
    yield Say((heard, winner, value))
    value = yield Call()
    yield Say(value)
    while True:
        yield Say((yield Listen()))


def sleeps(gen: int) -> Talk:
    heard = yield Listen()
    yield Say(heard)
    yield Sleep()
    yield Say("awake")
    while True:
        yield Say((yield Listen()))


def restarts(gen: int) -> Talk:
    """Each generation has the same steps."""
    if gen % 100:
        yield Say(("generation", gen))
    heard = yield Listen()
    value = yield Call()
    yield Say((heard, value))
    if not gen % 100:
        yield Restart()
    yield from calls_each_turn(gen)


def restarts_early(gen: int) -> Talk:
    """A result or an alarm of the old generation may come late."""
    heard = yield Listen()
    winner, value = yield First((Call(), Sleep()))
    yield Say((heard, winner, value))
    if not gen % 100:
        yield Restart()
    while True:
        yield Say((yield Listen()))


def restarts_at_once(gen: int) -> Talk:
    """Both generations begin with the same step, whose result may come late."""
    yield First((Call(), Sleep()))
    if not gen % 100:
        yield Restart()
    while True:
        yield Say((yield Listen()))


def gathers(gen: int) -> Talk:
    heard = yield Listen()
    values = yield Gather((Call(), Call()))
    yield Say((heard, values))
    while True:
        yield Say((yield Listen()))


def listens_or_gathers(gen: int) -> Talk:
    """The listen may win while one of two results is on record."""
    heard = yield Listen()
    winner, values = yield First((Listen(), Gather((Call(), Call()))))
    yield Say((heard, winner, values))
    while True:
        yield Say((yield Listen()))


def kills(gen: int) -> Talk:
    """Whoever runs its effect dies of it."""
    heard = yield Listen()
    yield Call("kill")
    yield Say(heard)


def listens_or_kills(gen: int) -> Talk:
    """The caller's next word may take the conversation away from what kills."""
    yield Listen()
    heard = yield First((Listen(), Call("kill")))
    yield Say(heard)
    while True:
        yield Say((yield Listen()))


def calls_twice(gen: int) -> Talk:
    heard = yield Listen()
    one = yield Call()
    two = yield Call()
    yield Say((heard, one, two))
    while True:
        yield Say((yield Listen()))


def takes_leave(gen: int) -> Talk:
    """Until the caller leaves; one last effect, then it ends."""
    while True:
        heard = yield Listen()
        if heard == LEFT:
            yield Call()
            return
        value = yield Call()
        yield Say((heard, value))


def lives_on(gen: int) -> Talk:
    """A caller who left may return."""
    while True:
        heard = yield Listen()
        if heard == LEFT:
            heard = yield Listen("return")
        value = yield Call()
        yield Say((heard, value))


def restarts_alone(gen: int) -> Talk:
    """A caller who left is gone in the next generation, too."""
    heard = yield Listen()
    yield Say(heard)
    if not gen and heard == LEFT:
        yield Restart()


def one_turn(gen: int) -> Talk:
    """Each generation is one turn, whose call may come late."""
    heard = yield Listen()
    winner, value = yield First((Call(), Sleep()))
    yield Say((heard, winner, value))


def says_much(gen: int) -> Talk:
    heard = yield Listen()
    yield Say(("first", heard))
    value = yield Call()
    yield Say(("second", value))
    yield Say("third")
    while True:
        yield Say((yield Listen()))


def says_goodbye(gen: int) -> Talk:
    heard = yield Listen()
    yield Say(("goodbye", gen, heard))


def says_and_restarts(gen: int) -> Talk:
    heard = yield Listen()
    yield Say((gen, heard))
    if not gen % 100:
        yield Restart()
    while True:
        yield Say((yield Listen()))


# Errands, and the conversations that start them. An errand's key depends on the life that starts it, and sessions of the model have fixed
# numbers: so a life that begins after a former one was lost (its gen is 100 or more) starts none.


def listens(gen: int) -> Talk:
    while True:
        yield Say((yield Listen()))


def errand(gen: int) -> Talk:
    yield Call()


def slow_errand(gen: int) -> Talk:
    yield Sleep()
    yield Call()


def endless_errand(gen: int) -> Talk:
    yield Listen()


def waits_for_errand(gen: int) -> Talk:
    if gen >= 100:
        yield from listens(gen)
    heard = yield Listen()
    yield Start(1)
    yield Say((heard, (yield Listen("errand"))))
    while True:
        yield Say((yield Listen()))


def ends_with_errand(gen: int) -> Talk:
    heard = yield Listen()
    yield Start(1)
    yield Say((heard, (yield Listen("errand"))))


def cancels_errand(gen: int) -> Talk:
    """On a word it cancels, and is ready to hear a result that must never come."""
    if gen >= 100:
        yield from listens(gen)
    yield Listen()
    yield Start(1)
    winner, heard = yield First((Listen("errand"), Listen()))
    yield Say((winner, heard))
    if winner == 1:
        yield Cancel(1)
    while True:
        yield Say((yield First((Listen("errand"), Listen()))))


def leaves_errand(gen: int) -> Talk:
    """On a word it ends without waiting."""
    if gen >= 100:
        yield from listens(gen)
    yield Listen()
    yield Start(1)
    yield Say((yield First((Listen("errand"), Listen()))))


def listens_or_starts(gen: int) -> Talk:
    """The start may be in the losing branch."""
    yield Listen()
    yield Say((yield First((Listen(), Start(1)))))
    while True:
        yield Say((yield First((Listen("errand"), Listen()))))


def restarts_with_errand(gen: int) -> Talk:
    if not gen % 100:
        yield Listen()
        yield Start(1)
        yield Restart()
    yield Say((yield Listen("errand")))
    while True:
        yield Say((yield Listen()))


def leaves_errand_each_time(gen: int) -> Talk:
    """A new generation listens for errands that it has not started."""
    if not gen % 100:
        yield Listen()
        yield Start(1)
        yield Say("goodbye")
        return
    while True:
        yield Say((yield First((Listen("errand"), Listen()))))


def starts_two(gen: int) -> Talk:
    """Two errands at once, both results wanted."""
    if gen >= 100:
        yield from listens(gen)
    heard = yield Listen()
    yield Gather((Start(1), Start(2)))
    one = yield Listen("errand")
    two = yield Listen("errand")
    yield Say((heard, one, two))


def starts_two_cancels_one(gen: int) -> Talk:
    heard = yield Listen()
    yield Gather((Start(1), Start(2)))
    yield Cancel(1)
    yield Say((heard, (yield Listen("errand"))))
    while True:
        yield Say((yield First((Listen("errand"), Listen()))))
