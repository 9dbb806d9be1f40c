"""ETags: how they are made, and how a request names one.

A proxy that compresses a response changes its ETag: nginx makes it weak (`W/"x"`), Apache and others write into it
(`"x-gzip"`). Our ETags name what a document says and not its bytes, so each of these names the same version. The
comparison is weak everywhere, and safe for `If-Match`, too.
"""

import hashlib

import msgspec

_CODINGS = (b"-gzip", b"-br", b"-zstd", b"-deflate", b";gzip", b";br", b";zstd")


def etag_of(content: msgspec.Struct) -> str:
    """Return the ETag of a document that is encoded the same way each time."""
    return f'"{hashlib.blake2b(msgspec.json.encode(content), digest_size=8).hexdigest()}"'


def weak_etag_of(body: bytes, revision: int) -> bytes:
    """Return the ETag of a document that is sent with the time beside `body`, which differs each second."""
    return f'W/"{revision}-{hashlib.blake2b(body, digest_size=6).hexdigest()}"'.encode()


def is_named_in(header: bytes, etag: bytes) -> bool:
    """Return whether the header (`If-Match`, `If-None-Match`) names this ETag, or any (`*`)."""
    if header == etag:
        return True
    tags = [_plain(tag) for tag in header.split(b",")]
    return _plain(etag) in tags or b"*" in tags


def _plain(tag: bytes) -> bytes:
    """Return the tag without the mark of a weak one and without what a proxy wrote into it."""
    tag = tag.strip().removeprefix(b"W/")
    for coding in _CODINGS:
        if tag.endswith(coding + b'"'):
            return tag.removesuffix(coding + b'"') + b'"'
    return tag
