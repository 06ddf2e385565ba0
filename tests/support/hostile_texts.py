"""Values that a form may have and no honest one has, as the bytes that stand in it and as the text that is read from them."""

from random import Random
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALPHABETS = [
    range(0x20, 0x7F), range(0x20), range(0x7F, 0xA0), range(0xA0, 0x250), range(0x370, 0x400), range(0x400, 0x530), range(0x590, 0x5FF),
    range(0x600, 0x700), range(0x660, 0x66A), range(0x900, 0x980), range(0x966, 0x970), range(0xE00, 0xE80), range(0x300, 0x36F),
    range(0x1100, 0x1200), range(0x2000, 0x2070), range(0x2070, 0x20A0), range(0x2150, 0x2190), range(0x3040, 0x3100), range(0x4E00, 0x4F00),
    range(0xAC00, 0xAD00), range(0xE000, 0xE010), range(0xFDD0, 0xFE10), range(0xFF10, 0xFF1A), range(0xFFF0, 0x10000), range(0x1D7CE, 0x1D800),
    range(0x1F300, 0x1F400), range(0xE0000, 0xE0080), range(0x10FFF0, 0x110000),
]  # fmt: skip
"""Of every kind: letters, digits of all scripts, controls, marks, directions, private, noncharacters, far planes."""

WORDS = (
    "", " ", "0", "1", "2", "3", "9", "*", "#", "12", "1234", "yes", "no", "goodbye", "hangup", "completed", "one", "ten more minutes", "left",
    "-1", "+1", "1.5", "1e999", "NaN", "Infinity", "0x10", "1_000", " 7 ", "007", "\u00b2", "\u0661\u0662", "\u2167", "None", "null", "true",
    "9" * 15, "9" * 16, "9" * 19, "9" * 400, "2147483648", "9223372036854775807", "18446744073709551616",
    "</Say><Hangup/>", "]]>", "<!DOCTYPE a>", "&amp;", "&#0;", "<![CDATA[", "<speak>", '"/><Dial>+1900</Dial>', "<?xml?>", "<!--", "--",
    "{0}", "{{7*7}}", "%s%n", "${jndi:x}", "'; --", "../../etc/passwd", "a b c", "phone:CA1", "\r\nX: y", "\r\n\r\n", "\0", "a\0b", "\x1b[2J",
    "\ufeff", "\u202e", "\ufffd", "\uffff", "e\u0301", "\u0130", "\u00df", "\ufb03", "\u1e9e",
)  # fmt: skip

BROKEN = (
    b"\xff", b"\xfe\xff", b"\xc0\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\x80", b"\x00", b"+ADw-", b"\x1b$B",
)  # fmt: skip
"""No UTF-8: cut short, overlong, half a surrogate pair, beyond the last plane; and what other encodings would read as something."""

SCHEMES = ("http", "https", "ftp", "file", "javascript", "data", "gopher", "tel", "sip", "HTTPS", "", "//", "s3", "unix", "\u0130")


def text(rng: Random) -> str:
    """A short hostile text; or, rarely, a long one."""
    draw = rng.random()
    if draw < 0.6:
        return rng.choice(WORDS)
    if draw < 0.7:
        return rng.choice(SCHEMES) + rng.choice((":", "://", "://[::1]:", "://user@", "")) + rng.choice(WORDS)
    length = rng.randrange(1, 12) if draw < 0.98 else rng.randrange(12, 2_000)
    alphabet = rng.choice(ALPHABETS)
    return "".join([chr(rng.choice(alphabet)) for _ in range(length)])


def value(rng: Random) -> bytes:
    """A hostile value, escaped as a form has it; sometimes not as it should be."""
    draw = rng.random()
    if draw < 0.85:
        data = text(rng).encode()
    elif draw < 0.95:
        data = rng.choice(BROKEN) + text(rng).encode() + rng.choice(BROKEN)
    else:
        data = rng.randbytes(rng.randrange(40))
    escaped = quote_from_bytes(data, safe=rng.choice(("", " ", "/:;,<>'\"!$()*@[]{}|\\^~`"))).encode()
    if rng.random() < 0.1:
        escaped = escaped.replace(b"%", rng.choice((b"%25", b"%%", b"%u00", b"")), 1)
    return escaped.replace(b" ", b"+")


def long_value(rng: Random, size: int) -> bytes:
    """One of about `size` bytes in the form."""
    unit = value(rng) or b"x"
    return (unit * (size // len(unit) + 1))[:size]


def read(written: bytes) -> str:
    """What a reader of the form makes of it."""
    return unquote_to_bytes(written.replace(b"+", b" ")).decode("utf-8", "replace")
