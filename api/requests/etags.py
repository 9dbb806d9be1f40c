"""ETags as they come back, after a proxy on the way has compressed the answer that carried them.

nginx makes a weak tag of a strong one then (`W/"x"`), Apache and others put what they did into it (`"x-gzip"`). Our
tags name what a document says and not its bytes, so all of these still name the same version: comparing them weakly is
safe, for `If-Match` too.
"""

_CODINGS = (b"-gzip", b"-br", b"-zstd", b"-deflate", b";gzip", b";br", b";zstd")


def names(header: bytes, etag: bytes) -> bool:
    """Whether the header (`If-Match`, `If-None-Match`) names this version, or any."""
    if header == etag:
        return True
    tags = [_plain(tag) for tag in header.split(b",")]
    return _plain(etag) in tags or b"*" in tags


def _plain(tag: bytes) -> bytes:
    """The tag as we made it, without what says that it is weak."""
    tag = tag.strip().removeprefix(b"W/")
    for coding in _CODINGS:
        if tag.endswith(coding + b'"'):
            return tag.removesuffix(coding + b'"') + b'"'
    return tag
