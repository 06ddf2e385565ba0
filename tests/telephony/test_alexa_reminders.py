"""Reminders: set while their user speaks, with the token of their request, which is on no record; a card where they are not allowed."""

import pytest
from support.alexa_house import alexa_house

from telephony.alexa_api import TOKENS, Api, Kept, api_of
from telephony.alexa_reminders import remind
from workflows.effects import idempotency_key
from workflows.errors import TerminalError, TransientError

SESSION = "alexa:skill:user"


@pytest.fixture
def reminded():
    """Calls the effect as a session's step would."""

    async def call(session=SESSION, text="To bed!", seconds=600):
        idempotency_key.set(f"{session}/1763800000000/2.0.1")
        return await remind(text, seconds, "en-GB")

    yield call
    TOKENS.pop(SESSION, None)


async def test_with_consent_a_reminder_is_set(valkey_url, valkey):
    async with alexa_house(valkey_url, "bedtime", line={"args": {"boys": ["Ben", "Max"]}}, echo={"consents": True}) as (_, echo):
        await echo.launch()
        told = await echo.intent("SnoozeIntent", {"minutes": "20"})
        assert (told.text, told.ends) == ("All right, I will remind you in 20 minutes.", True)
        (reminder,) = echo.cloud.reminders
        assert reminder["trigger"] == {"type": "SCHEDULED_RELATIVE", "offsetInSeconds": 1200}
        assert reminder["alertInfo"]["spokenInfo"]["content"] == [{"locale": "en-GB", "text": "Ben and Max, get ready for bed!"}]
        assert (await echo.repeat()).text == told.text
        assert len(echo.cloud.reminders) == 1, "a copy sets no second one"


async def test_without_consent_a_card_asks_for_it_also_on_a_copy(valkey_url, valkey):
    async with alexa_house(valkey_url, "bedtime") as (house, echo):
        await echo.launch()
        told = await echo.say("snooze")
        assert told.card == {"type": "AskForPermissionsConsent", "permissions": ["alexa::alerts:reminders:skill:readwrite"]}
        assert told.text.startswith("I am not allowed to set reminders yet.")
        assert echo.cloud.reminders == []
        await house.reboot()
        assert (await echo.repeat()).whole == told.whole
        echo.cloud.consents = True
        await echo.launch()
        assert "I will remind you" in (await echo.say("snooze")).text


async def test_the_token_is_on_no_record(valkey_url, valkey):
    async with alexa_house(valkey_url, "bedtime", echo={"consents": True}) as (_, echo):
        await echo.launch()
        await echo.say("snooze")
        everything = b"".join(element for key in valkey.scan_iter("sb:*:h:*") for element in valkey.lrange(key, 0, -1))
        assert b"remind" in everything
        assert echo.cloud.token.encode() not in everything
        assert echo.cloud.url.encode() not in everything


async def test_where_no_user_of_alexa_speaks_there_are_no_reminders(reminded):
    with pytest.raises(TerminalError, match="only a user of Alexa"):
        await reminded("phone:CA1")


async def test_what_the_api_says_becomes_a_failure_with_its_word(reminded, monkeypatch):
    answers = iter([(403, {"code": "DEVICE_NOT_SUPPORTED"}), (500, None), (429, {"code": 7}), (403, ["x"])])

    async def call(self, *_):
        return next(answers)

    monkeypatch.setattr(Api, "call", call)
    TOKENS.keep(SESSION, Api("https://api.amazonalexa.com", "t"))
    for why in ("403 .DEVICE_NOT_SUPPORTED", "500$", "429$", "403$"):
        with pytest.raises(TerminalError, match=why):
            await reminded()


async def test_an_api_that_does_not_answer_is_a_failure_and_not_asked_again(reminded):
    TOKENS.keep(SESSION, Api("http://127.0.0.1:1", "t"))
    with pytest.raises(TransientError, match="does not answer"):
        await reminded()


async def test_bedtime_says_so_when_reminders_fail(valkey_url, valkey, monkeypatch):
    async with alexa_house(valkey_url, "bedtime") as (_, echo):
        await echo.launch()

        async def call(self, *_):
            raise TimeoutError

        monkeypatch.setattr(Api, "call", call)
        told = await echo.say("snooze")
        assert told.text.startswith("Sorry, I cannot set a reminder here.")
        assert not told.ends


@pytest.mark.parametrize(
    ("endpoint", "simulated", "ours"),
    [
        ("https://api.amazonalexa.com", False, True),
        ("https://api.eu.amazonalexa.com/", False, True),
        ("https://api.fe.amazonalexa.com:443", False, True),
        ("http://api.amazonalexa.com", False, False),
        ("https://api.amazonalexa.com:8443", False, False),
        ("https://api.amazonalexa.com.evil.example", False, False),
        ("https://api.amazonalexa.com@evil.example", False, False),
        ("https://evil.example/api.amazonalexa.com", False, False),
        ("https://user@api.amazonalexa.com", False, False),
        ("https://api.amazonalexa.com/path", False, False),
        ("http://127.0.0.1:8080", False, False),
        ("http://127.0.0.1:8080", True, True),
        ("http://192.0.2.1:8080", True, False),
        ("http://[::1", True, False),
        ("https://api.amazonalexa.com:99999", False, False),
        ("", True, False),
    ],
)
def test_a_token_is_sent_to_alexas_own_api_alone(endpoint, simulated, ours):
    assert (api_of(endpoint, "token", simulated=simulated) is not None) is ours


@pytest.mark.parametrize("token", ["", "a\r\nX: y", "\u00e9", "a\x00"])
def test_what_is_no_token_is_none(token):
    assert api_of("https://api.amazonalexa.com", token, simulated=False) is None


def test_a_token_is_not_shown():
    assert "secret" not in repr(Api("https://api.amazonalexa.com", "secret"))


def test_only_the_last_tokens_are_kept(monkeypatch):
    monkeypatch.setattr("telephony.alexa_api.KEPT", 3)
    kept = Kept()
    for name in "abca":
        kept.keep(name, name)
    kept.keep("d", "d")
    assert list(kept) == ["c", "a", "d"]


async def test_a_time_zone_that_is_none_is_none(monkeypatch):
    answers = iter(["Europe/Helsinki", "Mars/Olympus", "../../etc/passwd", 7, None, "", "\x00"])

    async def call(self, *_):
        return 200, next(answers)

    monkeypatch.setattr(Api, "call", call)
    api = Api("https://api.amazonalexa.com", "t")
    assert [await api.time_zone("device") for _ in range(7)] == ["Europe/Helsinki", *[None] * 6]
