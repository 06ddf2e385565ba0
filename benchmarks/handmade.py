"""Yardstick (b): the same call as one writes it by hand, without replay.

aiohttp, our form parser, signature check and TwiML writer, and one awaited RPUSH by redis-py to the same store. What it lacks: nothing
is read back, a webhook that comes twice is taken twice, and two servers would not know of each other.
"""

import sys
import time

import msgspec
from aiohttp import web
from redis.asyncio import Redis

from benchmarks.calls import ACCOUNT, LOCALE, TOKEN
from benchmarks.control import Control, run
from benchmarks.menu import GOODBYE, WELCOME, reply
from benchmarks.yardstick import serve
from telephony import form, twiml
from telephony.twilio_signature import signed


class Voice:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def answer(self, request: web.Request) -> web.Response:
        pairs = form.parse(await request.read())
        url = f"http://{request.headers['Host']}{request.raw_path}"
        if not signed(TOKEN, url, pairs, request.headers.get("X-Twilio-Signature")):
            raise web.HTTPForbidden
        fields = dict(pairs)
        if fields["AccountSid"] != ACCOUNT:
            raise web.HTTPForbidden
        turn = int(request.query.get("turn", "-1")) + 1
        key = fields.get("Digits", "")
        record = msgspec.msgpack.encode((time.time_ns() // 1_000_000, turn, key))
        await self._redis.rpush(f"call:{fields['CallSid']}", record)
        return web.Response(text=twiml.response(_verb(turn, key)), content_type="text/xml")


def _verb(turn: int, key: str) -> twiml.Verb:
    if key == "0":
        return twiml.Verb(twiml.say(GOODBYE, language=LOCALE) + twiml.hangup())
    said = twiml.say(reply(key) if turn else WELCOME, language=LOCALE)
    return twiml.gather(said, action=f"voice?turn={turn}", inputs="dtmf", timeout=5, num_digits=1, action_on_empty_result=True)


async def main() -> None:
    redis = Redis.from_url(sys.argv[1])
    await serve(Voice(redis).answer, Control())
    await redis.aclose()


if __name__ == "__main__":
    run(main)
