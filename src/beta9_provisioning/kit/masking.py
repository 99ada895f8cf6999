"""Hide secrets in what tools print before it is journaled, logged or shown.

`mask_text` is the one way from a tool's text to people: it cuts, then masks. The work grows with the text's
length and no faster, whatever the text is, because tools repeat what customers' clusters and providers say:

- Each branch of `_START` finds the place where a secret may begin. It takes a run of characters whole
  (possessive quantifiers, `++`) or at most a fixed number of them, and a lookbehind lets it begin at the
  run's start only.
- The end of a secret is found by reading on from there, and the search goes on after it. What is read without
  finding an end is either hidden, or remembered (`_Urls`) and not read again.

When in doubt more is hidden rather than less, but names of secrets, addresses and error codes stay readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from beta9_provisioning.kit.texts import clean_text

MASK = "(hidden)"
MOST_CHARACTERS = 64 * 1024
"""What is masked of one text; the rest is cut off before."""

_DEEPEST = 100
_NAME_CHARACTERS = 128
Span = tuple[int, int]

# What a name says of its value. `signature` or `auth` must be the name's last word: SignatureDoesNotMatch is
# an error, authMode a setting.
_SECRET = re.compile(
    r"(?i)passw(?:or)?d|passphrase|secret(?!s?manager)|token|credential|dockerconfigjson"
    r"|(?:private|access|api|encryption|signing|client|account|session)[_ -]?key"
)
_SECRET_LAST = frozenset({"signature", "pwd", "pass", "auth", "authorization", "cookie", "requirepass"})
_WORD = re.compile(r"[A-Z]?[a-z]++|[A-Z]++|[0-9]++")
# Names that end so tell where a secret is, or of what kind: `database_secret_arn`; or that it was refused.
_ABOUT = frozenset(
    {
        "arn", "at", "code", "count", "days", "enabled", "endpoint", "error", "exception", "expired",
        "expires", "expiry", "fault", "file", "found", "hours", "id", "issuer", "kind", "length",
        "manager", "match", "minutes", "mismatch", "mode", "name", "names", "path", "policy", "ref",
        "required", "rotation", "seconds", "size", "status", "ttl", "type", "uri", "url", "version",
        "versions",
    }
)  # fmt: skip
_REFUSAL = re.compile(r"(?i)expired|invalid|malformed|missing")

_START = re.compile(
    r"""(?xi)
      (?P<url> :// )
    | (?P<pem> -{4,5}[ ]?BEGIN[ ][A-Z0-9 ]{0,48}PRIVATE[ ]KEY )
    # AWS's key after its name, or after its id: tables, csv files.
    | (?: (?<![A-Z0-9]) A[KS]IA[A-Z0-9]{12,16}+ [\s:,;|"']{1,8}+
        | secret[_ -]?access[_ -]?key [^A-Z0-9/+]{1,16}+ ) (?P<aws> [A-Z0-9/+]{40} ) (?![A-Z0-9/+=])
    | (?<![\w-]) (?: k8s-aws-v1\. (?P<cluster> [\w-]++ )
                   | b9p_[0-9A-Z]{16}_ (?P<key> [\w-]++ )
                   | (?P<jwt> eyJ[\w-]++ (?:\.[\w-]++)++ )
                   | (?P<scheme> Bearer | Basic ) [ \t]{1,8}+ (?P<offered> [^\s"'<>\\,;()]++ ) )
    # <SecretAccessKey>...</SecretAccessKey>
    | < (?P<element> [\w:.-]{1,100}+ ) >
    # password=..., "SecretString": "...", \"token\": ..., Secret access key: ..., X-Amz-Signature%3D...
    | (?<![\w.-]) (?: (?P<phrase> (?:secret[ ]access|private|api|secret|encryption)[ ]key )
                    | (?P<name> [\w.-]++ ) )
      (?P<is> \\{0,15}+ ["']?+ \]?+ \s{0,16}+ (?: =>?+ | :(?!//)=?+ | %3[DA] ) \s{0,16}+ )
    # --set password x, \set password x; --password x, "--password", "x"; PASSWORD 'x'
    | (?<![\w.-]) (?: (?: --set | \\set ) [ \t]{1,8}+ (?P<set> [\w.-]++ ) [ \t]{1,8}+
                    | (?P<option> --?[A-Z][\w.-]*+ ) (?: [ \t]{1,8}+ | \\?["'],[ ]?(?=\\?["']) ) (?!-)
                    | (?P<sql> passw(?:or)?d ) [ \t]{1,8}+ (?=') )
    """
)
_PEM = re.compile(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,48}PRIVATE KEY")
_PEM_END = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,48}PRIVATE KEY[A-Z ]{0,16}-{4,5}")
# The opening quote of a value; within a quoted document it has backslashes before it.
_QUOTE = re.compile(r"""(\\*+)(["'])""")
# To the next white space, to a quote at a word's end, or to a separator with something after it that is no
# more of the value: white space, or the next name.
_BARE = re.compile(
    r"""(?xi) (?: (?:Bearer|Basic)[ \t]{1,8}+ )?+
              (?: [^\s"'\\,;&(){}\[\]<>]++
                | \\++(?!["'])
                | ["'](?=\w)
                | [,;&(){}\[\]<>](?! [,;&)}\]>]{0,8}+ (?: [\s"'] | \Z | [\w.-]{1,64}+["']?+[=:] )) )++"""
)
_ELEMENT_TEXT = re.compile(r"[^<]++(?=</)|[^<\s]{16,}+\Z")
_HEADER = re.compile(r"""[^\r\n"'\\\]]++""")
_BLOCK = re.compile(r"[|>][+-]?[ \t]*+\n\s{0,64}+")
_ANNOUNCEMENT = re.compile(r"""(?P<name>[\w.-]++)["']?\s*(?:=>?|:)\s*(?:[|>][+-]?)?\s*\Z""")
_NOTHING = re.compile(
    r"(?i)\(hidden\)|(?:null|true|false|nil|none|-|\(sensitive(?: value)?\)|\(known after apply\)"
    r"|<(?:nil|secret|redacted|hidden|sensitive)>)(?![^\s,;&)\]}<>\"'\\.])"
)
_DIRECTORY = re.compile(r"(?:OLD)?PWD")
# "Bearer token", "Basic authentication", and the challenge `Bearer realm="..."` are no credentials.
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z]*+[.:]?|[a-z_]+=")
_URL_WORD = re.compile(r"""(?:[^\s"'<>`]++|["'](?=\w))*+""")
_AUTHORITY = re.compile(r"[^/?#]*+")
_WEB = ("http", "https", "oci", "ws", "wss")
_BREAKS = (" ", "\n", "\t", '"', "'", ",", ";")


def mask_text(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return the first `most` characters of `text`, with everything hidden that looks like a secret.

    The cut comes first, and in front of the word in which it would fall: half a secret is not recognized.
    """
    text = _cut(text, min(most, MOST_CHARACTERS))
    pieces: list[str] = []
    done = position = 0
    urls = _Urls(text)
    while (start := _START.search(text, position)) is not None:
        begin, end = _secret(text, start, urls)
        if end > begin:
            pieces += (text[done:begin], MASK)
            done = position = end
        else:
            position = start.end()
    pieces.append(text[done:])
    return "".join(pieces)


def quoted(text: str) -> str:
    """Return somebody else's words for a sentence of ours: masked, then fit to be stored, and not too long.

    In this order: a secret that is cut is not recognized any more.
    """
    return clean_text(mask_text(text))


class LineMasker:
    """Masks a text that comes line by line: what a line begins, the next ones may go on with."""

    def __init__(self) -> None:
        self._in_key = False
        self._is_announced = False

    def __call__(self, line: str) -> str:
        """Return the next line, masked."""
        if self._in_key:
            self._in_key = _PEM_END.search(line) is None
            return MASK
        announced, self._is_announced = self._is_announced, _announces(line)
        begun = _PEM.search(line)
        self._in_key = begun is not None and _PEM_END.search(line, begun.end()) is None
        return MASK if announced and line.strip() else mask_text(line)


def _announces(line: str) -> bool:
    """Tell whether a line ends with the name of a secret, whose value then comes with the next one."""
    found = _ANNOUNCEMENT.search(line[-_NAME_CHARACTERS:])
    return found is not None and is_secret_name(found["name"])


def is_secret_name(name: str) -> bool:
    """Tell whether a value of this name is likely to be a secret itself."""
    return _is_secret_name(name[-_NAME_CHARACTERS:])


@lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    return words[-1] in _SECRET_LAST or _SECRET.search(name) is not None


def mask(value: Any, *, secret: bool = False, depth: int = 0) -> Any:
    """Return a copy of a JSON document with its secrets hidden; with `secret`, every text and number.

    What is nested deeper than 100 levels is hidden as a whole.
    """
    if depth > _DEEPEST:
        return MASK
    if isinstance(value, dict):
        return {
            key: mask(item, secret=secret or is_secret_name(key), depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item, secret=secret, depth=depth + 1) for item in value]
    if secret and isinstance(value, str | int | float) and not isinstance(value, bool):
        return MASK
    return mask_text(value) if isinstance(value, str) else value


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    # A word without end has no better place for a cut.
    found = max(text.rfind(one, most - most // 4, most) for one in _BREAKS)
    return text[: found if found > 0 else most]


def _secret(text: str, start: re.Match[str], urls: _Urls) -> Span:
    """Return where the secret is that begins at `start`; an empty span if there is none."""
    for group, find in _FINDERS.items():
        if start[group] is not None:
            return find(text, start)
    return urls.password(start)


class _Urls:
    """Finds passwords in URLs, `scheme://user:password@host`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = self._last_at = -1

    def password(self, start: re.Match[str]) -> Span:
        """Return where the password is.

        Only web addresses have paths with `@` in them. In any other URL everything up to the last one is
        taken for the password: people forget to escape `@`, `:`, `/` and `#` in it.
        """
        text, begin = self._text, start.end()
        if begin > self._end:  # once for each word, however many "://" are in it
            word = _URL_WORD.match(text, begin)
            assert word is not None
            self._end = word.end()
            self._last_at = text.rfind("@", begin, self._end)
        at = self._last_at
        if text[max(0, start.start() - 5) : start.start()].lower().endswith(_WEB):
            authority = _AUTHORITY.match(text, begin, self._end)
            assert authority is not None
            at = text.rfind("@", begin, authority.end())
        if at < begin:
            return 0, 0
        colon = text.find(":", begin, at)
        return (0, 0) if colon < 0 or _NOTHING.fullmatch(text, colon + 1, at) else (colon + 1, at)


def _of(group: str) -> Callable[[str, re.Match[str]], Span]:
    return lambda _text, start: start.span(group)


def _private_key(text: str, start: re.Match[str]) -> Span:
    return start.start(), _after_key(text, start.start())


def _after_key(text: str, begin: int) -> int:
    end = _PEM_END.search(text, begin)
    return end.end() if end else len(text)


def _offered(_text: str, start: re.Match[str]) -> Span:
    return (0, 0) if _PLAIN_WORD.fullmatch(start["offered"]) else start.span("offered")


def _element(text: str, start: re.Match[str]) -> Span:
    value = _ELEMENT_TEXT.match(text, start.end()) if is_secret_name(start["element"]) else None
    return value.span() if value else (0, 0)


def _named(text: str, start: re.Match[str]) -> Span:
    whole = start["name"]
    owner, _, name = whole[-2 * _NAME_CHARACTERS :].rpartition(".")
    if not is_secret_name(name) or _REFUSAL.match(name):
        return 0, 0
    if (
        start["is"].strip() == ":"
        and (
            # Terraform's `random_password.token: Creating...` names a resource: its type has a "_" in it.
            "_" in owner.rpartition(".")[2]
            # arn:...:secret:name, and /api/v1/secrets: HTTP 404
            or text[max(0, start.start() - 1) : start.start()] in (":", "/")
        )
    ):
        return 0, 0
    if _DIRECTORY.fullmatch(name) and text.startswith("/", start.end()):
        return 0, 0
    if name.lower().endswith(("authorization", "cookie")):
        return _header(text, start.end())
    return _value(text, start.end())


def _phrase(text: str, start: re.Match[str]) -> Span:
    return _value(text, start.end())


def _optional(group: str) -> Callable[[str, re.Match[str]], Span]:
    def find(text: str, start: re.Match[str]) -> Span:
        name = start[group][-_NAME_CHARACTERS:].rpartition(".")[2]
        return _value(text, start.end()) if is_secret_name(name) else (0, 0)

    return find


def _header(text: str, begin: int) -> Span:
    """Return the span of a header's value: to the end of the line."""
    if _QUOTE.match(text, begin):
        return _value(text, begin)
    value = _HEADER.match(text, begin)
    return value.span() if value else (0, 0)


def _value(text: str, begin: int) -> Span:
    """Return the span of a value, quoted or not, without its quotes."""
    quote = _QUOTE.match(text, begin)
    if quote is not None:
        return quote.end(), _closing(text, quote)
    block = _BLOCK.match(text, begin)
    if block is not None:
        begin = block.end()
    if _NOTHING.match(text, begin):
        return 0, 0
    if _PEM.match(text, begin):
        return begin, _after_key(text, begin)
    value = _BARE.match(text, begin)
    return value.span() if value else (0, 0)


def _closing(text: str, quote: re.Match[str]) -> int:
    r"""Return where the closing quote, with its backslashes, begins; the text's end if there is none.

    A document within n documents has 2**n - 1 backslashes before the quotes of its texts: `"`, `\"`, `\\\"`.
    What is before the closing quote beyond them belongs to the text, where each backslash takes twice as many
    and one more: a quote with any other number of them is part of the text.
    """
    count, mark = len(quote[1]), quote[2]
    position = begin = quote.end()
    while (found := text.find(mark, position)) >= 0:
        first = found
        while first > position and text[first - 1] == "\\":
            first -= 1
        if (found - first) % (2 * count + 2) == count:
            return max(found - count, begin)
        position = found + 1
    return len(text)


_FINDERS: dict[str, Callable[[str, re.Match[str]], Span]] = {
    "pem": _private_key,
    "aws": _of("aws"),
    "cluster": _of("cluster"),
    "key": _of("key"),
    "jwt": _of("jwt"),
    "offered": _offered,
    "element": _element,
    "name": _named,
    "phrase": _phrase,
    "option": _optional("option"),
    "set": _optional("set"),
    "sql": _phrase,
}
