"""A turn on Alexa beside one on the phone, in one run: the same conversation, in the same server process, with the chain in its cache.

`python -m benchmarks.alexa` prints the CPU of both. The bar: Alexa's costs at most 1.6 of the phone's.
"""

import json
import secrets
import uuid
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks import concurrency
from benchmarks.calls import KEYS, TURNS, Exchange
from benchmarks.load import drive
from benchmarks.menu import GOODBYE, WELCOME, reply
from benchmarks.process import Process, process
from benchmarks.rounds import ROUNDS, ratio
from telephony import alexa_speech as speech
from telephony.alexa_development import SKILL, Development, development
from telephony.alexa_wire import response
from workflows.outputs import Say

CALLS = 300
BAR = 1.6

_TOKEN = secrets.token_urlsafe(750)
"""About as long as Alexa's own."""


def session(address: str, signer: Development) -> list[Exchange]:
    """A whole session of somebody whom nobody has seen before: a launch, four numbers, and the zero that ends it."""
    user = f"amzn1.ask.account.{secrets.token_hex(100).upper()}"
    name = f"amzn1.echo-api.session.{uuid.uuid4()}"
    return [Exchange(_request(address, signer, user, name, key), _answer(key)) for key in ["", *KEYS]]


def _request(address: str, signer: Development, user: str, name: str, key: str) -> bytes:
    asked: dict[str, object] = {"type": "LaunchRequest"}
    if key:
        slot = {"name": "digits", "value": key, "confirmationStatus": "NONE", "source": "USER"}
        asked = {"type": "IntentRequest", "intent": {"name": "DigitsIntent", "confirmationStatus": "NONE", "slots": {"digits": slot}}}
    application, person = {"applicationId": SKILL}, {"userId": user}
    body = json.dumps({
        "version": "1.0",
        "session": {"new": not key, "sessionId": name, "application": application, "attributes": {}, "user": person},
        "context": {
            "Viewports": [{"type": "APL", "id": "main", "shape": "RECTANGLE", "dpi": 213, "presentationType": "STANDARD"}],
            "System": {
                "application": application, "user": person, "device": {"supportedInterfaces": {}},
                "apiEndpoint": "https://api.eu.amazonalexa.com", "apiAccessToken": _TOKEN,
            },
        },
        "request": {
            **asked, "requestId": f"amzn1.echo-api.request.{uuid.uuid4()}", "locale": "en-GB",
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }).encode()  # fmt: skip
    headers = "".join([f"{header}: {value}\r\n" for header, value in signer.sign(body).items()])
    return (
        f"POST /alexa HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Apache-HttpClient\r\nAccept: application/json\r\n"
        f"Content-Type: application/json; charset=utf-8\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _answer(key: str) -> bytes:
    ends = key == "0"
    spoken = speech.write([Say(GOODBYE if ends else reply(key) if key else WELCOME)])
    return response(ssml=spoken.ssml, reprompt=None if ends else spoken.reprompt, card=speech.card("Menu", spoken), ends=ends)


def load(server: Process, signer: Development, at_once: int, calls: int) -> float:
    """CPU of a turn, us."""
    sessions = [session(server.address, signer) for _ in range(calls)]
    before = server.ask("usage")["cpu"]
    _, turns, _ = drive(server.address, at_once, sessions)
    assert len(turns) == calls * TURNS
    return float((server.ask("usage")["cpu"] - before) / len(turns) * 1e6)


def main() -> None:
    signer = development(Path(".switchboard"))
    phone: list[float] = []
    alexa: list[float] = []
    with process("store", "everysec") as store:
        for number in range(ROUNDS):
            with process("product", store.hello["url"]) as server:
                concurrency.load(server, 8, concurrency.WARM_UP)
                load(server, signer, 8, concurrency.WARM_UP)
                for each in ("phone", "alexa")[:: -1 if number % 2 else 1]:
                    if each == "phone":
                        phone.append(concurrency.load(server, 8, CALLS)["cpu_us"])
                    else:
                        alexa.append(load(server, signer, 8, CALLS))
    found = ratio(alexa, phone)
    print(f"CPU a turn: phone {median(phone):.0f} us, Alexa {median(alexa):.0f} us, {found:.2f} times; the bar is {BAR}")


if __name__ == "__main__":
    main()
