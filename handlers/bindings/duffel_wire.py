"""What Duffel sends, as far as it is looked at: offers, and what is wrong.

The protocol: https://duffel.com/docs/api/offer-requests.
"""

import unicodedata
from decimal import Decimal

import msgspec

LONGEST_NAME = 60
"""Characters of the name of an airline that are passed on,"""

LONGEST_FLIGHT = 120
"""and of a carrier with its flights."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What bytes raise that are not what they should be."""


class Carrier(msgspec.Struct, frozen=True):
    """An airline."""

    name: str | None = None
    iata_code: str | None = None


class Segment(msgspec.Struct, frozen=True):
    """One flight of an offer."""

    marketing_carrier: Carrier
    marketing_carrier_flight_number: str | None = None


class Slice(msgspec.Struct, frozen=True):
    """One way of a trip."""

    segments: list[Segment] = []


class Offer(msgspec.Struct, frozen=True):
    """What an airline asks for the whole trip; the amount includes taxes."""

    total_amount: Decimal
    total_currency: str
    owner: Carrier
    slices: list[Slice] = []
    live_mode: bool = True


class Offers(msgspec.Struct, frozen=True):
    """The part of an offer request that is looked at; the offers are read one by one."""

    offers: list[msgspec.Raw]


class Answer(msgspec.Struct, frozen=True):
    """A created offer request."""

    data: Offers


class Problem(msgspec.Struct, frozen=True):
    """What Duffel says is wrong: `type` and `code` for programs, `title` and `message` for people."""

    type: str = ""
    code: str = ""
    title: str = ""
    message: str = ""


class Problems(msgspec.Struct, frozen=True):
    """The body of an error."""

    errors: list[Problem] = []


read_answer = msgspec.json.Decoder(Answer, strict=False).decode
_read_offer = msgspec.json.Decoder(Offer, strict=False).decode
read_problems = msgspec.json.Decoder(Problems, strict=False).decode


def readable(offers: list[msgspec.Raw]) -> list[Offer]:
    """The offers that are as they should be. Raises one of `UNREADABLE` when there are offers, and none of them is."""
    read: list[Offer] = []
    trouble: Exception | None = None
    for offer in offers:
        try:
            read.append(_read_offer(offer))
        except UNREADABLE as error:
            trouble = error
    if trouble is not None and not read:
        raise trouble
    return read


def bare(text: str) -> str:
    """Words of somebody else's, in a line, without characters that control a terminal or the direction of writing."""
    return " ".join("".join(char for char in text if char.isspace() or unicodedata.category(char) not in {"Cc", "Cf"}).split())


def flight_of(offer: Offer) -> str:
    """The carrier and the flights of an offer: "Duffel Airways ZZ123 and ZZ124"."""
    flights = [
        f"{segment.marketing_carrier.iata_code or ''}{segment.marketing_carrier_flight_number}"
        for way in offer.slices
        for segment in way.segments
        if segment.marketing_carrier_flight_number
    ]
    return bare(f"{(offer.owner.name or '')[:LONGEST_NAME]} {' and '.join(flights)}")[:LONGEST_FLIGHT]
