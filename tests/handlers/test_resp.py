import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.resp import LONG, Refusal, Replies, pack

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


def assert_read_alike(sent: list[object], cuts: list[int]) -> None:
    """Whether replies come out as they were sent when the stream comes in pieces of these sizes, over and over."""
    stream = b"".join(map(wire, sent))
    reader, got, i = Replies(), [], 0
    while stream:
        size = cuts[i % len(cuts)]
        got += reader.feed(stream[:size])
        stream, i = stream[size:], i + 1
    assert got == sent


@given(st.lists(replies, max_size=5), st.lists(st.integers(1, 30), min_size=1))
def test_replies_are_the_same_however_the_stream_is_cut(sent: list[object], cuts: list[int]) -> None:
    assert_read_alike(sent, cuts)


treacherous = st.lists(st.sampled_from([b"\r\n", b"$0\r\n", b"\r", b"\n", b"$", b"*2", b"3", b"-1", b""]), max_size=4).map(b"".join)
long_lists = st.lists(st.just(b"plain") | treacherous, min_size=LONG, max_size=3 * LONG) | st.lists(
    st.just(b"plain") | treacherous | st.none() | st.integers(0, 9) | st.just([b"a"] * (LONG + 1)), min_size=LONG, max_size=2 * LONG
)


@given(st.lists(long_lists, min_size=1, max_size=3), st.lists(st.integers(1, 600), min_size=1))
def test_long_lists_are_the_same_however_they_are_cut_and_whatever_is_in_them(sent: list[object], cuts: list[int]) -> None:
    assert_read_alike(sent, cuts)


def test_replies_that_are_cut_in_two_anywhere_are_the_same() -> None:
    sent = [
        [b"plain"] * 2 * LONG,
        None,
        b"a\r\nb",
        [b"x", [b"\r\n"] * 2 * LONG, 1],
        [b"plain"] * LONG + [b"$5\r\nplain\r\n"] + [b"plain"] * LONG,
    ]
    stream = b"".join(map(wire, sent))
    for cut in range(len(stream) + 1):
        reader = Replies()
        assert reader.feed(stream[:cut]) + reader.feed(stream[cut:]) == sent


def test_a_status_is_bytes_and_an_absent_list_is_none() -> None:
    assert Replies().feed(b"+OK\r\n*-1\r\n*0\r\n") == [b"OK", None, []]


@pytest.mark.parametrize("stray", [b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"$x\r\n", b"%1\r\n"])
def test_what_is_no_resp2_is_refused(stray: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it means is told by the caller
        Replies().feed(stray)


def test_a_command_is_packed_as_a_list_of_bytes() -> None:
    assert pack(b"GET", b"", b"\r\n") == b"*3\r\n$3\r\nGET\r\n$0\r\n\r\n$2\r\n\r\n\r\n"
