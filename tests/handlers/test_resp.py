import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.resp import Refusal, Replies, pack

replies = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.text("ab :$*", max_size=20).map(Refusal),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def wire(reply: object) -> bytes:
    """What a server sends for a reply."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case Refusal(text):
            return b"-%b\r\n" % text.encode()
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(wire, reply))
        case _:
            raise AssertionError(reply)


@given(st.lists(replies, max_size=5), st.lists(st.integers(1, 30), min_size=1))
def test_replies_are_the_same_however_the_stream_is_cut(sent: list[object], cuts: list[int]) -> None:
    stream = b"".join(map(wire, sent))
    reader, got, i = Replies(), [], 0
    while stream:
        size = cuts[i % len(cuts)]
        got += reader.feed(stream[:size])
        stream, i = stream[size:], i + 1
    assert got == sent


def test_a_status_is_bytes_and_an_absent_list_is_none() -> None:
    assert Replies().feed(b"+OK\r\n*-1\r\n*0\r\n") == [b"OK", None, []]


@pytest.mark.parametrize("stray", [b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"$x\r\n", b"%1\r\n"])
def test_what_is_no_resp2_is_refused(stray: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it means is told by the caller
        Replies().feed(stray)


def test_a_command_is_packed_as_a_list_of_bytes() -> None:
    assert pack(b"GET", b"", b"\r\n") == b"*3\r\n$3\r\nGET\r\n$0\r\n\r\n$2\r\n\r\n\r\n"
