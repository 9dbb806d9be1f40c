"""Headers that every response carries besides the id of its request."""

from core.settings import Settings

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def headers_of(settings: Settings) -> list[tuple[bytes, bytes]]:
    """Return the headers; HSTS is among them when the settings say that clients use TLS."""
    return [*_SECURITY_HEADERS, _HSTS] if settings.behind_tls else _SECURITY_HEADERS
