"""Airports and cities by what people call them: from a name or a code to an IATA code, by the list of `airportsdata`.

A city with several airports has a code of its own ("London" is LON) where IATA gave it one. Of several places with one name the one with
the larger airport is meant. The list takes half a second to read, so it is read when somebody first asks.
"""

import re
import unicodedata
from functools import cache

CODE = re.compile(r"[A-Za-z]{3}")

ALSO = {
    "bali": "DPS", "basel": "BSL", "belgrade": "BEG", "bengaluru": "BLR", "calcutta": "CCU", "cologne": "CGN", "delhi": "DEL",
    "florence": "FLR", "haneda": "HND", "hanover": "HAJ", "kiev": "IEV", "koln": "CGN", "kyiv": "IEV", "la": "LAX", "la guardia": "LGA",
    "malta": "MLA", "marrakesh": "RAK", "mauritius": "MRU", "montreal": "YMQ", "new york city": "NYC", "nyc": "NYC", "palma": "PMI",
    "palma de mallorca": "PMI", "mallorca": "PMI", "naples": "NAP", "peking": "BJS", "quebec": "YQB", "quebec city": "YQB", "saigon": "SGN",
    "seville": "SVQ", "sf": "SFO", "st petersburg": "LED", "turin": "TRN", "venice": "VCE", "washington dc": "WAS",
}  # fmt: skip
"""Names that the list does not have, and Montreal, whose code as a city it lacks."""

LARGE = frozenset((
    "ACC", "ADB", "ADD", "ADL", "AGP", "AKL", "ALC", "AMS", "ANC", "ARN", "ATH", "ATL", "AUH", "AUS", "AYT", "BCN", "BEG", "BER",
    "BEY", "BGO", "BGY", "BHX", "BIO", "BKK", "BLQ", "BLR", "BNA", "BNE", "BOD", "BOG", "BOM", "BOS", "BRS", "BRU", "BTS", "BUD",
    "CAI", "CAN", "CCU", "CDG", "CGK", "CGN", "CHC", "CLE", "CLT", "CMB", "CMN", "CPH", "CPT", "CTA", "CUN", "DAC", "DEL", "DEN",
    "DFW", "DOH", "DPS", "DTW", "DUB", "DUS", "DXB", "EDI", "EIN", "EZE", "FAO", "FCO", "FLR", "FRA", "GDN", "GIG", "GLA", "GOT",
    "GRU", "GVA", "HAJ", "HAM", "HAN", "HEL", "HKG", "HKT", "HND", "HNL", "HOU", "HYD", "IAD", "IAH", "IBZ", "ICN", "IND", "IST",
    "JFK", "JNB", "KEF", "KIX", "KRK", "KTM", "KUL", "LAS", "LAX", "LBA", "LCA", "LED", "LEJ", "LHR", "LIM", "LIN", "LIS", "LJU",
    "LOS", "LPL", "LUX", "LYS", "MAA", "MAD", "MAN", "MCI", "MCO", "MCT", "MDE", "MEL", "MEX", "MIA", "MLA", "MNL", "MRS", "MSP",
    "MSY", "MUC", "MVD", "MXP", "NAP", "NBO", "NCE", "NCL", "NTE", "NUE", "OAK", "OPO", "ORD", "ORY", "OSL", "OTP", "OUL", "PDX",
    "PEK", "PER", "PHL", "PHX", "PIT", "PMI", "PMO", "PRG", "PSA", "PTY", "PUS", "PVG", "RAK", "RDU", "RIX", "RTM", "SAN", "SAT",
    "SCL", "SEA", "SFO", "SGN", "SIN", "SJC", "SJU", "SKG", "SLC", "SMF", "SOF", "STL", "STR", "SVG", "SVQ", "SXB", "SYD", "SZG",
    "TAS", "TBS", "TFS", "TIA", "TLL", "TLS", "TLV", "TPA", "TPE", "TRD", "TRN", "TUN", "UIO", "VCE", "VIE", "VLC", "VNO", "VRN",
    "WAW", "WLG", "WRO", "YEG", "YHZ", "YOW", "YUL", "YVR", "YWG", "YYC", "YYZ", "ZAG", "ZRH",
))  # fmt: skip
"""The airports that are meant where several places have one name: Venice in Italy, not in Florida; and none that is closed."""

WORDS = frozenset({"center", "city", "cork", "field", "la", "male", "mobile", "nice", "orange", "reading", "split", "van", "world"})
"""Names that are words, too."""

_GENERIC = re.compile(
    r"\b(?:international|intercontinental|intl|ntl|national|metropolitan|area|airport|airfield|aerodrome|regional|municipal)\b"
)
_SMALL = re.compile(r"\b(?:regional|executive|municipal|seaplane|heliport|base|field|county|private|ab|state)\b", re.IGNORECASE)


def code_of(place: str) -> str | None:
    """The IATA code of an airport or a city that is given by its name or by its code; None if there is none."""
    place = place.strip()
    if CODE.fullmatch(place) and place.upper() in _codes():
        return place.upper()
    return _names().get(plain(place))


@cache
def well_known() -> frozenset[str]:
    """The names of cities with a large airport or a code of their own, plainly written; without those that are words of every day."""
    import airportsdata  # noqa: PLC0415 - see above

    large = LARGE | set(airportsdata.load_iata_macs()) | set(ALSO.values())
    return frozenset(name for name, code in _names().items() if code in large) - WORDS


def plain(name: str) -> str:
    """A name without accents, capitals and punctuation, by which names are compared."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare.lower().replace("'", "").replace("ø", "o")).split())


@cache
def _codes() -> frozenset[str]:
    import airportsdata  # noqa: PLC0415 - see above

    return frozenset([*airportsdata.load("IATA"), *airportsdata.load_iata_macs(), *ALSO.values()])


@cache
def _names() -> dict[str, str]:
    """Names and their codes: first of cities with a code of their own, then of large airports and their cities, then of all others."""
    import airportsdata  # noqa: PLC0415 - see above

    cities = {plain(_GENERIC.sub("", city["name"].lower())): code for code, city in airportsdata.load_iata_macs().items()}
    known = ALSO | cities
    ranked = sorted(
        (
            bool(_SMALL.search(each["name"])),
            "international" not in each["name"].lower(),
            not each["icao"],
            len(each["name"]),
            code,
            each,
        )
        for code, each in airportsdata.load("IATA").items()
    )
    for large in (True, False):
        some = [(code, each) for *_, code, each in ranked if (code in LARGE) is large]
        for code, each in some:
            city = each["city"].replace(" - ", "-")
            for name in (city, re.split(r"[-/,(]| am | an der ", city)[0]):
                if name := plain(name):
                    known.setdefault(name, code)
        for code, each in some:
            own = plain(_GENERIC.sub(" ", each["name"].lower()))
            for name in (own, own.removeprefix(plain(each["city"])).strip()):
                if len(name) > 3:  # noqa: PLR2004 - "de", "san", "bay"
                    known.setdefault(name, code)
    return known
