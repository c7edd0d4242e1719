"""Texts that students chose, made harmless: for people to read, and as names of files."""

import hashlib
import re
import unicodedata

RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Letters of other alphabets that look like Latin ones; enough to tell a person where to look twice.
CONFUSABLE = str.maketrans("аеорсухіјѕһԁԛԝкмтвнαοριυκτνβ", "aeopcyxijshdqwkmtbhaopiuktvb")


def printable(text: object, lines: bool = False) -> str:
    """The text with everything escaped that a terminal, or a reader's eye, would be led astray by.

    Control and format characters (escape sequences, bidirectional overrides, zero-width ones), undecodable bytes and
    all but a few combining marks in a row become \\x1b, \\u202e and the like. lines: keep line feeds and tabs.
    """
    marks, shown = 0, []
    text = str(text).replace("\r\n", "\n") if lines else str(text)
    for letter in text:
        category = unicodedata.category(letter)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if lines and letter in "\n\t":
            shown.append(letter)
        elif "\udc80" <= letter <= "\udcff":  # a byte that is not UTF-8, as Python keeps it in names
            shown.append(f"\\x{ord(letter) - 0xDC00:02x}")
        elif category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or marks > 4 or INVISIBLE.match(letter):
            code = ord(letter)
            shown.append(f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")
        else:
            shown.append(letter)
    return "".join(shown)


def safe_name(text: object) -> str:
    """A folder's name for a student or a file, good on every file system, and different for different texts.

    A plain lower-case name stays as it is; any other is tidied and gets eight digits of its hash, so that neither
    capitals, accents, reserved names nor length make two the same.
    """
    text = unicodedata.normalize("NFC", str(text))
    if re.fullmatch(r"[a-z0-9](?:[a-z0-9._-]{0,58}[a-z0-9])?", text) and not RESERVED.fullmatch(text):
        if ".." not in text and not re.search(r"-[0-9a-f]{8}$", text):
            return text
    tidy = re.sub(r"[^\w-]+", "_", printable(text)).strip("_-")[:40].encode()[:120].decode(errors="ignore")
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{tidy.strip('_-').lower() or 'student'}-{digest}"


def look(name: str) -> str:
    """What a name looks like: the same for names that a reader would take for each other."""
    return unicodedata.normalize("NFKC", name).casefold().translate(CONFUSABLE)
