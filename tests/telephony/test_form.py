from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.errors import FormError
from telephony.form import MAX_FIELDS, parse

pieces = st.sampled_from(["a", "=", "&", ";", "+", "%", "%2B", "%2b", "%C3%A9", "%C3", "%E2%82", "%zz", "%4", "%00", "é", "€", " ", "CallSid", "\r\n", "%7F", "%80", "%F0%9F%98%80"])  # fmt: skip
bodies = st.one_of(
    st.lists(pieces, max_size=30).map(lambda parts: "".join(parts).encode()),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=8).map(lambda pairs: urlencode(pairs).encode()),
    st.binary(max_size=60),
)


def reference(body):
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


@settings(max_examples=3000, deadline=None)
@given(bodies)
def test_every_body_reads_as_the_standard_library_reads_it(body):
    assert parse(body) == reference(body)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.text(st.characters(exclude_categories=["Cs"])),
        )
    )
)
def test_what_was_encoded_comes_back(pairs):
    assert parse(urlencode(pairs).encode()) == pairs


def test_blank_values_and_repeated_keys_are_kept_in_order():
    assert parse(b"b=2&a=&b=1&c&&=d") == [("b", "2"), ("a", ""), ("b", "1"), ("c", ""), ("", "d")]


def test_a_semicolon_does_not_separate_fields():
    assert parse(b"a=1;b=2") == [("a", "1;b=2")]


def test_a_broken_escape_stays_as_it_is_and_broken_utf_8_is_marked():
    assert parse(b"a=100%&b=%zz&c=%C3&d=\xff") == [
        ("a", "100%"),
        ("b", "%zz"),
        ("c", "\ufffd"),
        ("d", "\ufffd"),
    ]


def test_an_empty_body_has_no_fields():
    assert parse(b"") == []


def test_a_form_of_too_many_fields_is_refused_and_the_error_tells_the_limit():
    assert len(parse(b"&".join([b"a=1"] * MAX_FIELDS))) == MAX_FIELDS
    with pytest.raises(FormError, match=f"a form of {MAX_FIELDS + 1} fields was refused: at most {MAX_FIELDS} are read"):
        parse(b"&".join([b"a=1"] * (MAX_FIELDS + 1)))
