"""Slack's signature: the verdicts of `slack_sdk`'s own verifier, without its errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier

from telephony.slack_signature import sign, signed

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_531_420_618
BODY = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&command=%2Fwebhook-collect&text="


class At(Clock):
    def now(self) -> float:
        return float(NOW)


def test_it_is_what_slacks_own_verifier_makes() -> None:
    theirs = SignatureVerifier(SECRET).generate_signature(timestamp=str(NOW), body=BODY)
    assert sign(SECRET, str(NOW), BODY) == theirs


@given(st.binary(), st.integers(-1000, 1000), st.sampled_from(["", "0", " ", "v0="]), st.booleans())
def test_the_verdict_is_slacks_own(body: bytes, age: int, spoiled: str, altered: bool) -> None:
    timestamp = str(NOW - age)
    signature = sign(SECRET, timestamp, body + b"!" * altered) + spoiled
    text = body.decode("utf-8", "ignore").encode()
    if text == body:  # on others theirs raises
        theirs = SignatureVerifier(SECRET, At()).is_valid(body, timestamp, signature)
        assert signed(SECRET, timestamp, body, signature, NOW) == theirs
    assert signed(SECRET, timestamp, body, signature, NOW) == (abs(age) <= 300 and not altered and not spoiled)


@pytest.mark.parametrize("timestamp", [None, "", "now", "12e5", "-1", "١٥٣١٤٢٠٦١٨", "9" * 5000, f" {NOW}", f"{NOW}.0", "\ud800"])
def test_a_timestamp_that_is_none_is_refused_and_raises_nothing(timestamp: str | None) -> None:
    assert not signed(SECRET, timestamp, BODY, "v0=" + "0" * 64, NOW)


@pytest.mark.parametrize("signature", [None, "", "v0=", "v0=é", "\udc80", "v1=" + "0" * 64, sign(SECRET, str(NOW), BODY).upper()])
def test_a_signature_that_is_none_is_refused_and_raises_nothing(signature: str | None) -> None:
    assert not signed(SECRET, str(NOW), BODY, signature, NOW)


def test_nobody_is_believed_where_there_is_no_secret() -> None:
    assert not signed("", str(NOW), BODY, sign("", str(NOW), BODY), NOW)
