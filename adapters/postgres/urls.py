"""URLs of databases: what the driver is given, which schema is meant, and the name for people, without the password."""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

DEFAULT_SCHEMA = "doubledecker"

_SCHEMES = ("postgresql", "postgres")
_SECRET = re.compile("password|secret", re.IGNORECASE)
_SCHEMA = re.compile("(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class Target:
    """A schema of a database, and how to connect to it."""

    dsn: str = field(repr=False)
    """As the driver takes it; may hold a password."""
    url: str
    """As people may see it."""
    schema: str
    pooled: bool
    """Whether a pooler gives each transaction another session: then nothing may be kept in one."""

    @property
    def quoted_schema(self) -> str:
        """As an identifier in SQL."""
        return f'"{self.schema}"'


def target_of(url: str) -> Target:
    """Raises ValueError, which never repeats the URL, for one that names no database.

    `?schema=` and `?pooled=` are ours; all other parameters are the driver's.
    """
    try:
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port
    except ValueError:
        raise ValueError(f"the URL is malformed; {_FORM}") from None
    if parts.scheme not in _SCHEMES or parts.fragment:
        raise ValueError(f"the URL must begin with postgresql:// and have no '#'; {_FORM}")
    ours = {"schema": DEFAULT_SCHEMA, "pooled": "no"}
    theirs: list[tuple[str, str]] = []
    for name, value in parameters:
        if name in ours:
            ours[name] = value
        else:
            theirs.append((name, value))
    schema, pooled = ours["schema"], ours["pooled"]
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"{schema!r} is no name of a schema: up to 63 letters, digits and '_', not beginning with pg_")
    if pooled not in ("yes", "no"):
        raise ValueError(f"pooled is yes or no, not {pooled!r}")
    return Target(
        dsn=_joined(parts.netloc, parts.path, theirs),
        url=_public(parts, parameters),
        schema=schema,
        pooled=pooled == "yes",
    )


def _public(parts: SplitResult, parameters: list[tuple[str, str]]) -> str:
    credentials, at, place = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    shown = [(name, value) for name, value in parameters if not _SECRET.search(name)]
    return _joined(f"{user}{at}{place}", parts.path, shown)


def _joined(place: str, path: str, parameters: list[tuple[str, str]]) -> str:
    query = urlencode(parameters, quote_via=quote, safe="/")
    return f"postgresql://{place}{path}{'?' if query else ''}{query}"


_FORM = "write postgresql://user:password@host:5432/database?schema=name"
