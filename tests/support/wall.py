"""A channel that pushes: a wall on which messengers post, and which keeps what hangs there whatever becomes of them."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from support.virtual_time import World

from handlers.deliveries import Delivery, Expected

Fault = Literal["", "call lost", "reply lost"]
"""A call never reaches the wall; it does, but its reply is lost."""

TIMEOUT_SECONDS = 1.0


class Post(NamedTuple):
    """What hangs there: a delivery, and who has put it there."""

    delivery: Delivery
    by: str

    @property
    def text(self) -> str:
        return self.delivery.output.text  # type: ignore[union-attr]  # nothing else is said here


class Wall:
    """What people see. `posts`: all that was posted, in order; `placeholders`: those that hang there, by key. `looks` are counted."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.placeholders: dict[str, Expected] = {}
        self.looks = 0
        self.watch: Callable[[Post], None] = lambda post: None
        self.watch_placeholder: Callable[[Expected, str], None] = lambda expected, by: None

    def texts(self, session: str) -> list[str]:
        """What was posted of a session."""
        return [post.text for post in self.posts if post.delivery.place.session == session]

    def find(self, key: str) -> dict[str, Any] | None:
        """The receipt of what hangs there by a key."""
        self.looks += 1
        return next(({"ts": number} for number, post in enumerate(self.posts) if post.delivery.key == key), None)

    def post(self, post: Post) -> dict[str, Any]:
        place = post.delivery.place
        if post.delivery.answers:
            self.placeholders.pop(f"{place.session}/{place.gen}/{post.delivery.turn}/expected", None)
        self.posts.append(post)
        self.watch(post)
        return {"ts": len(self.posts) - 1}

    def expect(self, expected: Expected, by: str) -> None:
        self.placeholders[expected.key] = expected
        self.watch_placeholder(expected, by)

    def give_up(self, expected: Expected) -> None:
        self.placeholders.pop(expected.key, None)


class WallMessenger:
    """A node's way to a wall.

    A call takes `delay()` seconds each way, and `mishap()` is what befalls it; `busy()` is how long the wall wants no post. `begin` is called
    when a post is about to leave. `calls` are what was asked for, `spoken` the partial words.
    """

    def __init__(self, wall: Wall, world: World, name: str) -> None:
        self.wall = wall
        self.name = name
        self.calls: list[tuple[str, str, bool]] = []
        self.spoken: list[str] = []
        self.delay: Callable[[], float] = lambda: 0.0
        self.mishap: Callable[[], Fault] = lambda: ""
        self.busy: Callable[[], float] = lambda: 0.0
        self.begin: Callable[[Delivery, bool], None] = lambda delivery, look: None
        self._network = world.network

    async def post(self, delivery: Delivery, *, look: bool) -> dict[str, Any]:
        self.calls.append(("post", delivery.output.text, look))
        while True:
            await asyncio.sleep(self.busy())
            try:
                if look and (receipt := await self._carry(lambda: self.wall.find(delivery.key))) is not None:
                    return receipt
                self.begin(delivery, look)
                return await self._carry(lambda: self.wall.post(Post(delivery, self.name)))
            except TimeoutError:
                look = True

    async def expect(self, expected: Expected, *, look: bool) -> None:
        self.calls.append(("expect", expected.turn, look))
        while True:
            try:
                if look and await self._carry(lambda: expected.key in self.wall.placeholders):
                    return
                await self._carry(lambda: self.wall.expect(expected, self.name))
            except TimeoutError:
                look = True
            else:
                return

    async def give_up(self, expected: Expected, *, failed: bool, look: bool) -> None:
        self.calls.append(("apologise" if failed else "give up", expected.turn, look))
        while True:
            try:
                await self._carry(lambda: self.wall.give_up(expected))
            except TimeoutError:
                continue
            else:
                return

    def speak(self, expected: Expected, text: str) -> None:
        self.spoken.append(text)

    async def _carry(self, act: Callable[[], Any]) -> Any:
        """Bring a call to the wall, which it reaches even if whoever called is no more, and its reply back."""
        fault = self.mishap()
        there: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        way = None
        if fault != "call lost":
            way = self._network.call(self._network.call_later, self.delay(), lambda: _resolve(there, act()))
        try:
            if fault:
                await asyncio.sleep(TIMEOUT_SECONDS)
                raise TimeoutError
            reply = await there
        finally:
            if way is not None:
                way.cancel()  # it hangs up; a process that is killed does not
        await asyncio.sleep(self.delay())
        return reply


def _resolve(waiting: asyncio.Future[Any], value: Any) -> None:
    if not waiting.done():
        waiting.set_result(value)
