"""What we rely on in pykka, what we keep away from, and what our actors promise instead."""

import asyncio
import gc
import logging
import threading
import tracemalloc
import weakref

import pykka
import pytest
from support.virtual_time import World

from handlers.actors import BATCH, AsyncioActor
from handlers.errors import GoneError
from handlers.reply import ReplyTo


class Notebook(AsyncioActor):
    """Writes down what it is told; `("wait", seconds, word)` takes its time, an exception is raised."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.deaths = []

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, tuple):
            return self.wait(*message[1:])
        self.seen.append(message)
        return None

    async def wait(self, seconds, word):
        self.seen.append(f"{word} begins")
        if isinstance(seconds, BaseException):
            raise seconds
        await asyncio.sleep(seconds)
        self.seen.append(f"{word} ends")

    def on_death(self, error, left):
        self.deaths.append((error, left))


class Sturdy(Notebook):
    survives = True


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


@pytest.fixture
def process(world):
    return world.process("here")


def start(process, kind=Notebook):
    ref = process.call(kind.start)
    return ref, ref._actor_weakref()


def idle(world):
    while world.step():
        pass


# -- pykka's traps ---------------------------------------------------------------------------------------------------------------------


class Plain(pykka.ThreadingActor):
    def on_receive(self, message):
        if isinstance(message, threading.Event):
            return message.wait(10)
        raise ValueError(message)


async def test_awaiting_a_future_of_pykka_blocks_the_whole_loop():
    gate, loop = threading.Event(), asyncio.get_running_loop()
    ref = Plain.start()
    try:
        future = ref.ask(gate, block=False)
        others = []
        loop.call_later(0.01, others.append, "had their turn")
        threading.Timer(0.2, gate.set).start()
        assert await future
        assert others == []
    finally:
        gate.set()
        ref.stop()


def test_the_registry_of_pykka_is_a_list_that_is_searched_at_each_stop():
    assert isinstance(pykka.ActorRegistry._actor_refs, list)


def test_an_exception_in_a_tell_kills_an_actor_of_pykka_and_its_inbox_is_lost(caplog):
    gate = threading.Event()
    ref = Plain.start()
    ref.tell(gate)
    ref.tell("boom")
    unanswered = ref.ask("left behind", block=False)
    gate.set()
    with pytest.raises(pykka.ActorDeadError):
        unanswered.get(timeout=5)
    assert not ref.is_alive()


def test_pykka_takes_a_cancellation_for_the_end_of_all_actors():
    class Cancelled(pykka.ThreadingActor):
        def on_receive(self, message):
            raise asyncio.CancelledError

    bystander = Plain.start()
    Cancelled.start().tell("go")
    bystander.actor_stopped.wait(5)
    assert not bystander.is_alive()


# -- our actors ------------------------------------------------------------------------------------------------------------------------


def test_an_actor_is_not_registered(process):
    ref, _ = start(process)
    assert pykka.ActorRegistry.get_all() == []
    assert ref.is_alive()


def test_asking_an_actor_is_refused_with_the_remedy(process):
    ref, _ = start(process)
    with pytest.raises(TypeError, match="ReplyTo"):
        ref.ask("anything", block=False)


def test_messages_are_handled_in_order_and_one_at_a_time(world, process):
    ref, actor = start(process)
    for message in ("a", ("wait", 1.0, "b"), "c", ("wait", 0.5, "d"), "e"):
        ref.tell(message)
    idle(world)
    assert actor.seen == ["a", "b begins", "b ends", "c", "d begins", "d ends", "e"]


def test_an_actor_at_rest_handles_a_message_on_the_spot(process):
    ref, actor = start(process)
    process.call(ref.tell, "a")
    assert actor.seen == ["a"]


def test_what_an_actor_is_told_while_it_is_at_work_waits_even_from_itself(process):
    class Talker(Notebook):
        def on_receive(self, message):
            if message == "first":
                self.deliver("second")
            self.seen.append(message)

    ref, actor = start(process, Talker)
    process.call(ref.tell, "first")
    assert actor.seen == ["first", "second"]


def test_a_crowd_of_messages_lets_the_loop_have_its_turn_after_each_batch(world, process):
    ref, actor = start(process)
    process.call(ref.tell, ("wait", 1.0, "it"))
    for number in range(2 * BATCH + 1):
        ref.tell(number)
    seen_by_others = []
    while world.step():
        if len(actor.seen) > 2 and len(actor.seen) - 2 not in seen_by_others:
            seen_by_others.append(len(actor.seen) - 2)
    assert seen_by_others == [BATCH, 2 * BATCH, 2 * BATCH + 1]
    assert actor.seen == ["it begins", "it ends", *range(2 * BATCH + 1)]


def test_an_actor_without_messages_has_no_task_no_timer_and_no_thread(world, process):
    threads = threading.active_count()
    ref, _ = start(process)
    ref.tell("a")
    ref.tell(("wait", 1.0, "b"))
    idle(world)
    assert asyncio.all_tasks(process) == set()
    assert process.next_timer is None
    assert not process.ready
    assert threading.active_count() == threads


def test_an_error_ends_the_actor_and_what_was_left_is_handed_over(world, process):
    ref, actor = start(process)
    error = ValueError("boom")
    for message in (("wait", 1.0, "a"), error, "x", "y"):
        ref.tell(message)
    idle(world)
    assert actor.deaths == [(error, ["x", "y"])]
    assert not ref.is_alive()
    assert actor.seen == ["a begins", "a ends"]


def test_an_error_after_an_await_ends_the_actor_as_well(world, process):
    ref, actor = start(process)
    error = ValueError("boom")
    ref.tell(("wait", error, "a"))
    ref.tell("b")
    idle(world)
    assert actor.deaths == [(error, ["b"])]


def test_an_error_is_logged_with_its_traceback(world, process, caplog):
    ref, _ = start(process)
    with caplog.at_level(logging.ERROR):
        ref.tell(ValueError("boom"))
        idle(world)
    assert "boom" in caplog.text
    assert "Traceback" in caplog.text


def test_an_actor_that_survives_goes_on_with_the_next_message(world, process):
    ref, actor = start(process, Sturdy)
    for message in (ValueError("boom"), "a", ("wait", ValueError("boom"), "b"), "c"):
        ref.tell(message)
    idle(world)
    assert actor.seen == ["a", "b begins", "c"]
    assert actor.deaths == []


@pytest.mark.parametrize("kind", [Notebook, Sturdy])
def test_a_cancellation_ends_this_actor_and_no_other_and_strands_no_inbox(world, process, kind):
    ref, actor = start(process, kind)
    other, other_actor = start(process)
    ref.tell(("wait", 100.0, "a"))
    ref.tell("b")
    world.wait(1.0)
    for task in asyncio.all_tasks(process):
        task.cancel()
    other.tell("still here")
    idle(world)
    [(error, left)] = actor.deaths
    assert isinstance(error, asyncio.CancelledError)
    assert left == ["b"]
    assert not ref.is_alive()
    assert other_actor.seen == ["still here"]


def test_a_cancellation_raised_by_plain_code_is_an_error_like_any_other(world, process):
    ref, actor = start(process)
    ref.tell(asyncio.CancelledError())
    idle(world)
    [(error, left)] = actor.deaths
    assert isinstance(error, asyncio.CancelledError)
    assert left == []
    assert process.errors == []


def test_an_actor_is_stopped_behind_what_it_was_told_before(world, process):
    ref, actor = start(process)
    ref.tell(("wait", 1.0, "a"))
    actor.stop()
    ref.tell("b")
    idle(world)
    assert actor.seen == ["a begins", "a ends"]
    assert actor.deaths == [(None, ["b"])]


def test_telling_a_dead_actor_is_an_error_of_the_teller(world, process):
    ref, actor = start(process)
    actor.stop()
    idle(world)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("hello")


def test_an_error_while_dying_is_logged_and_harms_nobody(world, process, caplog):
    class Clumsy(Notebook):
        def on_death(self, error, left):
            raise RuntimeError("and that, too")

    ref, _ = start(process, Clumsy)
    ref.tell(ValueError("boom"))
    idle(world)
    assert not ref.is_alive()
    assert "and that, too" in caplog.text
    assert process.errors == []


def test_a_dead_actor_is_freed_without_the_collector(world, process):
    gc.collect()
    gc.disable()
    try:
        ref, actor = start(process)
        gone = weakref.ref(actor)
        ref.tell(("wait", 1.0, "a"))
        actor.stop()
        idle(world)
        del actor
        assert gone() is None
    finally:
        gc.enable()


def test_an_actor_costs_less_than_a_quarter_of_a_kilobyte(process):
    process.call(AsyncioActorOfNoUse)  # whatever is made once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        actors = [process.call(AsyncioActorOfNoUse) for _ in range(1000)]
        each = (tracemalloc.get_traced_memory()[0] - before) / len(actors)
    finally:
        tracemalloc.stop()
    assert each < 256


class AsyncioActorOfNoUse(AsyncioActor):
    def on_receive(self, message):
        return None


# -- the reply-to ----------------------------------------------------------------------------------------------------------------------


def test_a_reply_to_is_answered_once(process):
    reply = process.call(ReplyTo)
    reply.answer("a")
    with pytest.raises(AssertionError):
        reply.answer("b")
    with pytest.raises(AssertionError):
        reply.fail(GoneError("gone"))


def test_a_reply_that_nobody_collects_leaves_no_trace(world, process):
    reply = process.call(ReplyTo)
    reply.fail(GoneError("gone"))
    del reply
    gc.collect()
    assert process.errors == []


def test_an_endpoint_that_gives_up_abandons_its_reply_to_and_a_late_answer_is_dropped(world, process):
    reply = process.call(ReplyTo)
    endpoint = process.spawn(reply.get(2.0))
    world.run(endpoint.done)
    assert isinstance(endpoint.exception(), TimeoutError)
    assert world.time == 2.0
    assert reply.abandoned
    reply.answer("too late")


def test_an_endpoint_that_is_cancelled_abandons_its_reply_to(world, process):
    reply = process.call(ReplyTo)
    endpoint = process.spawn(reply.get())
    world.wait(0.1)
    endpoint.cancel()
    idle(world)
    assert reply.abandoned
