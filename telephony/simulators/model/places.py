"""Cities that the offline demo model knows by name, with their IATA codes."""

import re

CITIES = {
    "amsterdam": "AMS", "athens": "ATH", "bangkok": "BKK", "barcelona": "BCN", "beijing": "BJS", "berlin": "BER", "boston": "BOS",
    "brussels": "BRU", "budapest": "BUD", "buenos aires": "BUE", "cairo": "CAI", "cape town": "CPT", "chicago": "CHI", "copenhagen": "CPH",
    "delhi": "DEL", "dubai": "DXB", "dublin": "DUB", "edinburgh": "EDI", "frankfurt": "FRA", "geneva": "GVA", "hamburg": "HAM",
    "helsinki": "HEL", "hong kong": "HKG", "istanbul": "IST", "lisbon": "LIS", "london": "LON", "los angeles": "LAX", "madrid": "MAD",
    "mexico city": "MEX", "milan": "MIL", "montreal": "YMQ", "mumbai": "BOM", "munich": "MUC", "new york": "NYC", "oslo": "OSL",
    "paris": "PAR", "prague": "PRG", "reykjavik": "REK", "rome": "ROM", "san francisco": "SFO", "singapore": "SIN", "stockholm": "STO",
    "sydney": "SYD", "tallinn": "TLL", "tokyo": "TYO", "toronto": "YTO", "turku": "TKU", "vienna": "VIE", "warsaw": "WAW",
    "washington": "WAS", "zurich": "ZRH",
}  # fmt: skip

_PLACE = rf"(?:{'|'.join(CITIES)}|(?-i:[A-Z]{{3}}))"
_ROUTE = re.compile(rf"\b(?:from\s+)?(?P<origin>{_PLACE})\s+(?:to|-+|\u2013)\s+(?P<destination>{_PLACE})\b", re.IGNORECASE)
_BACKWARDS = re.compile(rf"\bto\s+(?P<destination>{_PLACE})\s+from\s+(?P<origin>{_PLACE})\b", re.IGNORECASE)
_ORIGIN = re.compile(rf"\bfrom\s+(?P<origin>{_PLACE})\b", re.IGNORECASE)
_DESTINATION = re.compile(rf"\bto\s+(?P<destination>{_PLACE})\b", re.IGNORECASE)


def route(text: str) -> tuple[str, str, str]:
    """Where from and where to, as IATA codes (empty where it is not said), and the text without the two."""
    for pattern in (_BACKWARDS, _ROUTE):
        if found := pattern.search(text):
            return _code(found["origin"]), _code(found["destination"]), pattern.sub(" ", text, count=1)
    origin, destination = _ORIGIN.search(text), _DESTINATION.search(text)
    rest = _DESTINATION.sub(" ", _ORIGIN.sub(" ", text))
    return _code(origin["origin"]) if origin else "", _code(destination["destination"]) if destination else "", rest


def _code(place: str) -> str:
    return CITIES.get(place.lower(), place.upper())
