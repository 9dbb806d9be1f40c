"""JSON Web Tokens: making ours, and reading those that come in.

The algorithm belongs to the key, never to the token's header. PyJWT makes tokens, decodes their parts and verifies
their signatures. Its `decode` as a whole accepts an object with one key twice, and takes more than twice as long as
this module, which each poll with a new token would pay.
"""

import math
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

import jwt
from jwt.utils import base64url_decode, base64url_encode

from api.security.keys import Keys
from core.errors import InvalidInput
from core.strict_json import read_object

MAX_TOKEN_BYTES = 4096
LEEWAY_SECONDS = 10.0
"""How far another issuer's clock may be off, for `nbf` and `iat`. An expired token gets no leeway."""
LONGEST_SECONDS = 10 * 366 * 86_400.0
"""How far ahead `exp` may be. A later one is a mistake, such as milliseconds for seconds."""
OPERATOR = "operator"
_MAKER = "postfleet"
"""The claim `by` of our own tokens, whose `iat` comes from our clock."""
_USER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:|+\-]{0,127}")
# Headers that bring a key of their own, or mean something other than a plain signed token.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"})
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class BadToken(ValueError):
    """A token that is worth nothing. Its text says why, for us alone: whoever sent it never reads it."""


class Scope(StrEnum):
    """What a token may be used for, when it names its scopes (claim `scope`)."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class TokenRules:
    """What a token must claim besides its user and its end."""

    issuer: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The holder of a verified token."""

    user_id: str
    expires_at: float
    """Seconds since 1970. The token is worth nothing from then on."""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    """What the token may be used for; None: everything its user may do."""
    token_id: str | None = None
    family: str | None = None
    """The login that one of our own tokens comes from."""
    issued_at: float = 0.0
    key_id: str | None = None
    made_here: bool = False
    """Whether we issued it ourselves."""

    @property
    def operator(self) -> bool:
        """Whether the token carries the operator role, and may use it."""
        return OPERATOR in self.roles and self.may(Scope.ADMIN)

    def may(self, scope: Scope) -> bool:
        """Return whether the token may be used for that."""
        return self.scopes is None or scope in self.scopes


def check_user_id(user_id: str) -> str:
    """Return the id unchanged.

    Raises:
        InvalidInput: it cannot be a user's id; the text says which characters may be in one.
    """
    if not _USER_ID.fullmatch(user_id):
        raise InvalidInput(
            "user", "use 1 to 128 of the characters A-Z a-z 0-9 _ . @ : | + -, starting with A-Z a-z 0-9 _"
        )
    return user_id


def issue_token(
    secret: str,
    user_id: str,
    *,
    now: datetime,
    lifetime: timedelta,
    roles: Iterable[str] = (),
    rules: TokenRules = TokenRules(),
    family: str | None = None,
) -> str:
    """Return an HS256 token for a user.

    Raises:
        InvalidInput: the id cannot be a user's, or the lifetime is not positive or longer than ten years.
    """
    check_user_id(user_id)
    if not timedelta(0) < lifetime <= timedelta(seconds=LONGEST_SECONDS):
        raise InvalidInput("lifetime", "must be more than nothing and at most ten years")
    claims: dict[str, object] = {
        "sub": user_id,
        # To the millisecond, so that a login right after a logout everywhere counts as later.
        "iat": round(now.timestamp(), 3),
        "exp": math.ceil((now + lifetime).timestamp()),
        "jti": uuid.uuid4().hex,
        "by": _MAKER,
    }
    optional = {"iss": rules.issuer, "aud": rules.audience, "sid": family, "roles": sorted(set(roles))}
    claims.update({name: value for name, value in optional.items() if value})
    return jwt.encode(claims, secret, algorithm="HS256")


def read_token(token: bytes, keys: Keys, rules: TokenRules, now: float) -> Identity:
    """Return the identity that a token proves, by the keys, the rules and the time (seconds since 1970).

    Raises:
        BadToken: it does not verify, has ended, or says what no token may say.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise BadToken("too long")
    try:
        head, payload, signature = token.split(b".")
        algorithm, key_id = _header(head)
        key = keys.key(key_id)
        # One verification whatever is wrong, with a key of that kind: time does not tell which keys there are.
        verifier = key or keys.stand_in(algorithm)
        signed = verifier.signed(token[: -len(signature) - 1], _bytes(signature))
        if key is None or key.algorithm != algorithm or not signed:
            raise BadToken("no such key, or another algorithm than the key's, or not signed with it")
        claims = read_object(_bytes(payload))
        _check_rules(claims, rules)
        return identity_of(claims, now, key_id)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadToken(str(error)) from None


@lru_cache(maxsize=256)
def _header(segment: bytes) -> tuple[str, str | None]:
    """Return `alg` and `kid` of a header that asks for a plain signature. Issuers repeat theirs: each is read once."""
    header = read_object(_bytes(segment))
    if _REFUSED_HEADERS & header.keys():
        raise BadToken("refused header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadToken("not a JWT")
    algorithm = _text(header, "alg")
    if algorithm is None:
        raise BadToken("no algorithm")
    return algorithm, _text(header, "kid")


def _bytes(segment: bytes) -> bytes:
    """Decode base64 in its one spelling: no padding, no other alphabet, no bits set that mean nothing."""
    raw = base64url_decode(segment)
    if base64url_encode(raw) != segment:
        raise BadToken("another spelling")
    return raw


def _check_rules(claims: dict[str, object], rules: TokenRules) -> None:
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise BadToken("another issuer")
    if rules.audience is not None:
        audience = claims.get("aud")
        if rules.audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("for somebody else")


def identity_of(claims: dict[str, object], now: float, key_id: str | None) -> Identity:
    """Return the identity that the claims of a signed token name.

    Raises:
        BadToken: the token has ended, is not valid yet, or says what no token may say.
    """
    expires_at = _moment(claims["exp"]) if "exp" in claims else 0.0
    # One second more, because we round `exp` up to a whole number.
    if not now < expires_at <= now + LONGEST_SECONDS + 1:
        raise BadToken("expired, without an end, or with one that nobody can mean")
    for name in ("nbf", "iat"):
        if name in claims and _moment(claims[name]) > now + LEEWAY_SECONDS:
            raise BadToken("not yet valid")
    scope = _text(claims, "scope")
    return Identity(
        user_id=_user_id(claims),
        expires_at=expires_at,
        roles=_roles(claims.get("roles")),
        scopes=None if scope is None else frozenset(scope.split()),
        token_id=_text(claims, "jti"),
        family=_text(claims, "sid"),
        issued_at=_moment(claims["iat"]) if "iat" in claims else 0.0,
        key_id=key_id,
        made_here=key_id is None and claims.get("by") == _MAKER,
    )


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadToken("not a moment")
    return float(value)


def _user_id(claims: dict[str, object]) -> str:
    named = [claims[name] for name in ("user_id", "sub") if name in claims]
    if not named or any(name != named[0] for name in named):
        raise BadToken("no user, or two")
    if not isinstance(named[0], str) or not _USER_ID.fullmatch(named[0]):
        raise BadToken("not a user's id")
    return named[0]


def _roles(value: object) -> frozenset[str]:
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(role, str) for role in value):
        raise BadToken("roles is a list of names")
    return frozenset(value)


def _text(claims: dict[str, object], name: str) -> str | None:
    value = claims.get(name)
    if name in claims and not isinstance(value, str):
        raise BadToken(f"{name} is a text")
    return value if isinstance(value, str) else None
