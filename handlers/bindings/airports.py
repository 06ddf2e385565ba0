"""Airports and cities by what people call them: from a name or a code to an IATA code, by the list of `airportsdata`.

A city with several airports has a code of its own ("London" is LON) where IATA gave it one. Of several places with one name the one with
the larger airport is meant. The list takes half a second to read, so it is read when somebody first asks.
"""

import re
import unicodedata
from functools import cache

CODE = re.compile(r"[A-Za-z]{3}")

ALSO = {
    "adana": "COV", "alborg": "AAL", "anaheim": "SNA", "antakya": "HTY", "antigua": "ANU", "antwerpen": "ANR", "arhus": "AAR",
    "aruba": "AUA", "athina": "ATH", "azores": "PDL", "bali": "DPS", "bamako": "BKO", "barbados": "BGI", "bariloche": "BRC",
    "basel": "BSL", "basle": "BSL", "basra": "BSR", "belgrade": "BEG", "bengaluru": "BLR", "beograd": "BEG", "bermuda": "BDA",
    "bloemfontein": "BFN", "bombay": "BOM", "bonaire": "BON", "boracay": "MPH", "brussel": "BRU", "bruxelles": "BRU", "bucuresti": "OTP",
    "cabo san lucas": "SJD", "calcutta": "CCU", "cayman islands": "GCM", "cebu": "CEB", "charleroi": "CRL", "charlottetown": "YYG",
    "cincinnati": "CVG", "cologne": "CGN", "comoros": "HAH", "corfu": "CFU", "crete": "HER", "curacao": "CUR", "dammam": "DMM",
    "delhi": "DEL", "den haag": "RTM", "enugu": "ENU", "faroe islands": "FAE", "fiji": "NAN", "florence": "FLR", "fort worth": "DFW",
    "geneve": "GVA", "genf": "GVA", "genoa": "GOA", "george town": "GCM", "goa": "GOI", "goteborg": "GOT", "greenville": "GSP",
    "grenada": "GND", "guadeloupe": "PTP", "haneda": "HND", "hanover": "HAJ", "hartford": "BDL", "hawaii": "HNL", "helsingfors": "HEL",
    "hue": "HUI", "iguazu falls": "IGU", "jerusalem": "TLV", "johor bahru": "JHB", "karlsruhe": "FKB", "kauai": "LIH", "kiev": "IEV",
    "knock": "NOC", "kobenhavn": "CPH", "kochi": "COK", "koh samui": "USM", "koln": "CGN", "kona": "KOA", "kos": "KGS", "kyiv": "IEV",
    "kyoto": "OSA", "la": "LAX", "la guardia": "LGA", "lamezia": "SUF", "las palmas": "LPA", "leh": "IXL", "leon": "BJX",
    "limerick": "SNN", "lisboa": "LIS", "lombok": "LOP", "londonderry": "LDY", "luang prabang": "LPQ", "lucca": "PSA", "mailand": "MIL",
    "majorca": "PMI", "makassar": "UPG", "maldives": "MLE", "mallorca": "PMI", "malta": "MLA", "marrakesh": "RAK", "marseilles": "MRS",
    "martinique": "FDF", "maui": "OGG", "mauritius": "MRU", "mcallen": "MFE", "mecca": "JED", "medellin": "MDE", "milano": "MIL",
    "monaco": "NCE", "montreal": "YMQ", "moskva": "MOW", "muenchen": "MUC", "munchen": "MUC", "murcia": "RMU", "nagpur": "NAG",
    "naples": "NAP", "natal": "NAT", "new york city": "NYC", "nicosia": "LCA", "nis": "INI", "nurnberg": "NUE", "nyc": "NYC",
    "odessa": "ODS", "okinawa": "OKA", "oporto": "OPO", "oviedo": "OVD", "oxford": "OXF", "palawan": "PPS", "palma": "PMI",
    "palma de mallorca": "PMI", "panama": "PTY", "panama city": "PTY", "paramaribo": "PBM", "pau": "PUF", "peking": "BJS",
    "phnom penh": "KTI", "praha": "PRG", "pretoria": "JNB", "quebec": "YQB", "quebec city": "YQB", "rangoon": "RGN", "reunion": "RUN",
    "rhodes": "RHO", "roma": "ROM", "saigon": "SGN", "sal": "SID", "san salvador": "SAL", "sardinia": "CAG", "sault ste marie": "SSM",
    "seville": "SVQ", "sf": "SFO", "sicily": "CTA", "st johns": "YYT", "st paul": "MSP", "st petersburg": "LED", "sucre": "SRE",
    "suva": "SUV", "svalbard": "LYR", "szczecin": "SZZ", "tahiti": "PPT", "taichung": "RMQ", "the hague": "RTM", "trinidad": "POS",
    "turin": "TRN", "turks and caicos": "PLS", "ulan bator": "UBN", "ushuaia": "USH", "vail": "EGE", "valletta": "MLA", "venice": "VCE",
    "warszawa": "WAW", "washington dc": "WAS", "wien": "VIE", "xian": "XIY",
}  # fmt: skip
"""Names that the list does not have, or has for another place than the one that is meant; and Montreal, whose code as a city it lacks."""

WIDE = frozenset((
    "angola", "armenia", "benin", "indiana", "iowa", "jordan", "kansas", "lebanon", "liberia", "mali", "montenegro", "nevada", "palestine",
    "peru", "virginia", "wales",
))  # fmt: skip
"""Countries and states that towns elsewhere are called after. Nobody means the town, and no one airport is meant, so they are no places."""

LARGE = frozenset((
    "ABZ", "ACC", "ACT", "ADB", "ADD", "ADL", "ADQ", "AGP", "AGS", "AKL", "ALC", "AMS", "ANC", "ARN", "ATH", "ATL", "AUH", "AUS", "AYT",
    "BCN", "BEG", "BER", "BEY", "BGO", "BGY", "BHX", "BIO", "BKK", "BLQ", "BLR", "BMI", "BNA", "BNE", "BOD", "BOG", "BOM", "BOS", "BRS",
    "BRU", "BTS", "BTV", "BUD", "CAE", "CAI", "CAK", "CAN", "CCP", "CCU", "CDG", "CGK", "CGN", "CHC", "CHS", "CLE", "CLT", "CMB", "CMH",
    "CMN", "COR", "COS", "CPH", "CPT", "CTA", "CUN", "CWB", "DAC", "DEL", "DEN", "DFW", "DOH", "DPS", "DTW", "DUB", "DUJ", "DUS", "DXB",
    "EDI", "EIN", "EZE", "FAO", "FCO", "FLR", "FOE", "FRA", "GDN", "GIG", "GLA", "GNV", "GOT", "GRK", "GRU", "GVA", "HAJ", "HAM", "HAN",
    "HBE", "HEL", "HKG", "HKT", "HLN", "HND", "HNL", "HOU", "HUI", "HYD", "IAD", "IAH", "IBZ", "ICN", "ICT", "IND", "INI", "IST", "IXL",
    "JAN", "JAX", "JFK", "JNB", "KEF", "KIX", "KRK", "KTM", "KUL", "LAS", "LAX", "LBA", "LCA", "LED", "LEJ", "LEX", "LFT", "LHR", "LIM",
    "LIN", "LIS", "LJU", "LOS", "LPB", "LPL", "LSI", "LUX", "LWS", "LYS", "MAA", "MAD", "MAN", "MCI", "MCO", "MCT", "MDE", "MEL", "MEX",
    "MGM", "MIA", "MID", "MLA", "MNL", "MOB", "MRS", "MSN", "MSP", "MSY", "MUC", "MVD", "MXP", "NAP", "NBO", "NCE", "NCL", "NTE", "NUE",
    "OAK", "OMA", "OPO", "ORD", "ORN", "ORY", "OSL", "OTP", "OUL", "PDX", "PEK", "PER", "PHL", "PHX", "PIB", "PIT", "PMI", "PMO", "POA",
    "PRG", "PSA", "PTY", "PUQ", "PUS", "PVG", "RAK", "RDU", "RIC", "RIX", "ROC", "RTM", "SAN", "SAT", "SBA", "SCL", "SDF", "SDQ", "SEA",
    "SFO", "SGN", "SIN", "SJC", "SJU", "SKG", "SLC", "SMF", "SOF", "STL", "STR", "SVG", "SVQ", "SXB", "SYD", "SZG", "TAS", "TBS", "TFS",
    "TIA", "TLL", "TLS", "TLV", "TPA", "TPE", "TRD", "TRN", "TUN", "UIO", "VCE", "VIE", "VLC", "VNO", "VRN", "WAW", "WLG", "WRO", "XNA",
    "YEG", "YHZ", "YKF", "YOW", "YUL", "YVR", "YWG", "YYC", "YYZ", "ZAG", "ZRH",
))  # fmt: skip
"""The airports that are meant where several places have one name: Venice in Italy, not in Florida; and none that is closed."""

WORDS = frozenset((
    "center", "city", "cork", "eagle", "field", "flamingo", "fort", "hue", "knock", "la", "male", "metro", "mobile", "nice", "normal",
    "orange", "pointe", "reading", "reunion", "split", "van", "world",
))  # fmt: skip
"""Names that are words, too."""

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "\u0131": "i", "ß": "ss", "æ": "ae", "œ": "oe"})
"""Those that no accent makes what they are."""

_GENERIC = re.compile(
    r"\b(?:international|intercontinental|intl|ntl|national|metropolitan|area|airport|airfield|aerodrome|regional|municipal)\b"
)
_NO_AIRLINES = re.compile(
    r"\b(?:executive|seaplane|heliport|helipad|(?:air)?base|ab|afb|arb|afs|aaf|army|naval|nas|usaf|military|private|factory|downtown|"
    r"industrial|lighthouse|harbou?r|gliderport|ranch|mine|state)\b",
    re.IGNORECASE,
)
_SMALL = re.compile(r"\b(?:regional|municipal|field|county)\b", re.IGNORECASE)


def code_of(place: str) -> str | None:
    """The IATA code of an airport or a city that is given by its name or by its code; None if there is none."""
    place = place.strip()
    if is_code(place) and place.upper() in _codes():
        return place.upper()
    return _names().get(plain(place))


def is_code(place: str) -> bool:
    """Whether this is written as a code, known or not; names of three letters are codes in capitals alone: Goa is in India, GOA Genoa."""
    return CODE.fullmatch(place) is not None and (place.isupper() or place.lower() not in ALSO)


@cache
def well_known() -> frozenset[str]:
    """The names of cities with a large airport or a code of their own, plainly written; without those that are words of every day."""
    import airportsdata  # noqa: PLC0415 - see above

    large = LARGE | set(airportsdata.load_iata_macs()) | set(ALSO.values())
    return frozenset(name for name, code in _names().items() if code in large) - WORDS


def plain(name: str) -> str:
    """A name without accents, capitals and punctuation, and with "St" and "Fort", by which names are compared."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    words = re.sub(r"[^a-z0-9]+", " ", bare.lower().replace("'", "").translate(_LETTERS)).split()
    return " ".join({"saint": "st", "ft": "fort"}.get(word, word) for word in words)


@cache
def _codes() -> frozenset[str]:
    import airportsdata  # noqa: PLC0415 - see above

    return frozenset([*airportsdata.load("IATA"), *airportsdata.load_iata_macs(), *ALSO.values()])


@cache
def _names() -> dict[str, str]:
    """Names and their codes: first of cities with a code of their own, then of large airports and their cities, then of all others.

    Of these the main airport comes first, as far as the list lets it be guessed: by what its name says of it, and by its code.
    """
    import airportsdata  # noqa: PLC0415 - see above

    cities = {plain(_GENERIC.sub("", city["name"].lower())): code for code, city in airportsdata.load_iata_macs().items()}
    known = ALSO | cities
    ranked = sorted(
        (
            bool(_NO_AIRLINES.search(each["name"])),
            "international" not in each["name"].lower(),
            not _abbreviates(code, plain(each["city"])),
            bool(_SMALL.search(each["name"])),
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
            for name in (city, re.split(r"[-/,(]| am | an der ", city)[0], *city.split("/")):
                if name := plain(name):
                    known.setdefault(name, code)
        for code, each in some:
            own = plain(_GENERIC.sub(" ", each["name"].lower()))
            bare = plain(re.sub(r" (?:City|Island)$", "", each["city"]))
            for name in (own, own.removeprefix(plain(each["city"])).strip(), bare):
                if len(name) > 3:  # noqa: PLR2004 - "de", "san", "bay"
                    known.setdefault(name, code)
    return {name: code for name, code in known.items() if name not in WIDE}


def _abbreviates(code: str, city: str) -> bool:
    """Whether a code is made of letters of the city in their order, as those of a city's main airport mostly are: OMA and Omaha."""
    letters = iter(city)
    return all(letter in letters for letter in code.lower())
