"""Reading TwiML as Twilio does, for the simulated phone: what is not XML, or not TwiML, drops the call."""

from collections.abc import Callable
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from telephony.simulators.events import Asked, Recording
from telephony.twiml import LIMIT

Resolve = Callable[[str], str]
"""Makes a URL absolute that is relative to the document it stands in."""

_XML = frozenset({"text/xml", "application/xml", "text/html"})


class DroppedError(Exception):
    """Twilio would drop the call here: `detail` says why, `status` is what the server answered if that is the reason."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


def read(url: str, content_type: str, text: str) -> list[Element]:
    """Parse the answer of a URL into its verbs. No document type and so no entity is taken."""
    if content_type not in _XML:
        raise DroppedError(f"{url} answered {content_type}, not XML (Twilio error 12300)")
    if len(text.encode()) > LIMIT:
        raise DroppedError(f"{url} answered more than 64 kB (Twilio error 11750)")
    builder = TreeBuilder()

    def refuse(*_: object) -> None:
        raise DroppedError(f"{url} answered with a document type (Twilio error 12100)")

    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise DroppedError(f"{url} answered what is not XML: {error} (Twilio error 12100)") from None
    root = builder.close()
    if root.tag != "Response":
        raise DroppedError(f"{url} answered <{root.tag}>, not <Response> (Twilio error 12100)")
    return list(root)


def asked(verb: Element, resolve: Resolve) -> Asked:
    """Read a Gather, with Twilio's defaults."""
    inputs = verb.get("input", "dtmf").split()
    return Asked(
        url=resolve(verb.get("action", "")),
        method=method_of(verb),
        keys="dtmf" in inputs,
        speech="speech" in inputs,
        timeout=number(verb, "timeout", 5),
        num_digits=number(verb, "numDigits", 1) if "numDigits" in verb.attrib else None,
        finish_on_key=verb.get("finishOnKey", "#"),
        action_on_empty_result=verb.get("actionOnEmptyResult") == "true",
    )


def recording(verb: Element, resolve: Resolve) -> Recording:
    """Read a Record, with Twilio's defaults."""
    callback = verb.get("recordingStatusCallback")
    return Recording(
        url=resolve(verb.get("action", "")),
        method=method_of(verb),
        timeout=number(verb, "timeout", 5),
        max_length=number(verb, "maxLength", 3600),
        finish_on_key=verb.get("finishOnKey", "1234567890*#"),
        callback=resolve(callback) if callback else None,
    )


def text_of(verb: Element) -> str:
    """Give the URL or number that stands in a verb, or in a noun in it."""
    return "".join(verb.itertext()).strip()


def method_of(verb: Element) -> str:
    """Tell how a verb sends its form."""
    return verb.get("method", "POST").upper()


def number(verb: Element, attribute: str, default: int) -> int:
    """Read an attribute that is a whole number."""
    value = verb.get(attribute, str(default))
    if not value.isdecimal():
        raise DroppedError(f'<{verb.tag} {attribute}="{value}"> wants a number')
    return int(value)
