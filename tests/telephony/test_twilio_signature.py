import json
from hashlib import sha256
from urllib.parse import quote, urlparse

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from telephony.twilio_signature import sign, signed, signed_body

TOKEN = "0123456789abcdef0123456789abcdef"
URL = "https://switchboard.example/twilio/voice?turn=3"
FORM = [("CallSid", "CA1"), ("Digits", "1"), ("From", "+15550199"), ("Note", "")]


class Multi(dict):
    """The shape in which twilio's validator takes repeated keys."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self._pairs = pairs

    def getall(self, name):
        return [value for key, value in self._pairs if key == name]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.one_of(st.sampled_from(["CallSid", "From", "Digits", "a", "A", "ä", ""]), words)
values = st.one_of(st.sampled_from(["", "+15550199", "1", "hello world", "ÅÄÖ", "🙂", "a&b=c"]), words)
forms = st.lists(st.tuples(names, values), max_size=12)
hosts = st.sampled_from(["switchboard.example", "127.0.0.1", "LOCALHOST", "xn--9ca.example", "a-b.example"])
ports = st.sampled_from(["", ":80", ":443", ":8080", ":65535", ":1"])
paths = st.one_of(
    st.sampled_from(["", "/", "/twilio/voice", "/twilio/voice/", "/a//b", "/%7Euser/%2F", "/;p", "/a:80/b", "/@x"]),
    st.text(st.sampled_from("ab/%2F-._~!$&'()*+,;=:@é"), max_size=15).map(lambda path: "/" + path),
)
queries = st.one_of(
    st.just(""),
    st.sampled_from(["?a=1&b=", "?x=%2B1", "?u=http://h:1/"]),
    words.map(lambda word: "?q=" + quote(word)),
)
urls = st.builds(
    lambda scheme, host, port, path, query: f"{scheme}://{host}{port}{path}{query}",
    st.sampled_from(["http", "https"]),
    hosts,
    ports,
    paths,
    queries,
)


def change(text, draw):
    at = draw(st.integers(0, len(text) - 1))
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


@settings(max_examples=2000, deadline=None)
@given(urls, forms, st.data())
def test_every_request_is_judged_as_twilio_judges_it(url, form, data):
    assume(urlparse(url).geturl() == url)
    validator = RequestValidator(TOKEN)
    params = Multi(form)
    signer = data.draw(st.sampled_from(["as given", "with port", "without port", "another token", "another url", "changed"]))
    parts = urlparse(url)
    host = parts.netloc.split(":")[0]
    ported = parts._replace(netloc=f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}").geturl()
    signature = {
        "as given": lambda: validator.compute_signature(url, params),
        "with port": lambda: validator.compute_signature(ported, params),
        "without port": lambda: validator.compute_signature(parts._replace(netloc=host).geturl(), params),
        "another token": lambda: RequestValidator("another").compute_signature(url, params),
        "another url": lambda: validator.compute_signature(url + "x", params),
        "changed": lambda: change(validator.compute_signature(url, params), data.draw),
    }[signer]()
    verdict = signed(TOKEN, url, form, signature)
    assert verdict == validator.validate(url, params, signature)
    assert verdict == (signer in {"as given", "with port", "without port"})


@settings(max_examples=1000, deadline=None)
@given(urls, forms)
def test_a_signature_we_make_is_the_one_twilio_makes(url, form):
    assert sign(TOKEN, url, form) == RequestValidator(TOKEN).compute_signature(url, Multi(form))


@settings(max_examples=500, deadline=None)
@given(forms, st.randoms())
def test_the_order_of_the_fields_and_repeating_one_do_not_matter(form, random):
    shuffled = form * 2
    random.shuffle(shuffled)
    assert signed(TOKEN, URL, shuffled, sign(TOKEN, URL, form))


@pytest.mark.parametrize("field", range(len(FORM)))
def test_a_changed_field_is_refused(field):
    changed = list(FORM)
    changed[field] = (changed[field][0], changed[field][1] + "x")
    assert not signed(TOKEN, URL, changed, sign(TOKEN, URL, FORM))
    assert not signed(TOKEN, URL, FORM[:field] + FORM[field + 1 :], sign(TOKEN, URL, FORM))


def test_two_values_of_one_key_are_both_signed():
    form = [("Media", "b"), ("Media", "a"), ("Media", "b")]
    assert signed(TOKEN, URL, form, RequestValidator(TOKEN).compute_signature(URL, Multi(form)))
    assert not signed(TOKEN, URL, form[:1], sign(TOKEN, URL, form))


@pytest.mark.parametrize(
    "url",
    [
        "https://switchboard.example/twilio/voice?",
        "https://switchboard.example//x",
        "https://switchboard.example?a=1",
        "HTTPS://switchboard.example/",
        "https://user:secret@switchboard.example:8443/x",
        "https://[::1]:8443/x",
        "https://switchboard.example/x#",
        "https://switchboard.example/a\u00e9?b=\u20ac",
    ],
)
def test_a_url_is_signed_exactly_as_it_was_sent(url):
    assert signed(TOKEN, url, FORM, sign(TOKEN, url, FORM))


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("https://user:secret@switchboard.example:8443/x", "https://user:secret@switchboard.example/x"),
        ("https://[::1]:8443/x", "https://[::1]/x"),
        ("http://[::1]/x", "http://[::1]:80/x"),
        ("https://switchboard.example?a=1", "https://switchboard.example:443?a=1"),
    ],
)
def test_the_port_may_be_left_out_or_put_in_by_the_signer(url, other):
    assert signed(TOKEN, url, FORM, sign(TOKEN, other, FORM))
    assert not signed(TOKEN, url, FORM, sign(TOKEN, other.replace("switchboard", "elsewhere") + "1", FORM))


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        " ",
        "é" * 28,
        "\udc80" * 28,
        "=" * 28,
        "A" * 1_000_000,
        sign(TOKEN, URL, FORM).encode().hex(),
        " " + sign(TOKEN, URL, FORM),
    ],
)
def test_a_missing_or_malformed_signature_is_refused(signature):
    assert signed(TOKEN, URL, FORM, signature) is False
    assert signed_body(TOKEN, URL, b"{}", signature) is False


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/twilio/voice",
        "https://",
        "https:///x",
        "ftp://h/x",
        "https://h:99999/x",
        "https://h:port/x",
        "https://[::1/x",
        "https://a\udc80/x",
    ],
)
def test_what_is_no_web_address_is_refused_without_an_error(url):
    try:
        signature = sign(TOKEN, url, FORM)
    except UnicodeEncodeError:
        signature = "A" * 27 + "="
    assert signed(TOKEN, url, FORM, signature) is False
    assert signed_body(TOKEN, url, b"{}", signature) is False


def test_a_field_that_is_not_text_is_refused_without_an_error():
    assert signed(TOKEN, URL, [("a", "\ud800")], "A" * 27 + "=") is False


def test_an_empty_token_vouches_for_nothing():
    assert signed("", URL, FORM, sign("", URL, FORM)) is False


@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(words, words), urls, st.booleans())
def test_a_json_body_is_judged_as_twilio_judges_it(content, url, tampered):
    assume(urlparse(url).geturl() == url)
    body = json.dumps(content)
    url += ("&" if "?" in url else "?") + "bodySHA256=" + sha256(body.encode()).hexdigest()
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    if tampered:
        body += " "
    verdict = signed_body(TOKEN, url, body.encode(), signature)
    assert verdict == RequestValidator(TOKEN).validate(url, body, signature)
    assert verdict != tampered


@pytest.mark.parametrize("query", ["", "?bodySHA256=", "?bodySHA256", "?bodySHA256=%80", "?a=" + "&a=" * 300, "?bodySHA256=\udc80"])
def test_a_json_body_without_its_hash_in_the_url_is_refused(query):
    url = "https://switchboard.example/twilio/status" + query
    signature = "A" * 28 if "\udc80" in url else sign(TOKEN, url)
    assert signed_body(TOKEN, url, b"{}", signature) is False


def test_a_body_that_is_not_utf_8_is_judged_by_its_bytes():
    body = b"\xff\x00"
    url = "https://switchboard.example/twilio/status?bodySHA256=" + sha256(body).hexdigest()
    assert signed_body(TOKEN, url, body, sign(TOKEN, url))
    assert not signed_body(TOKEN, url, b"\xfe\x00", sign(TOKEN, url))
