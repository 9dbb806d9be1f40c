"""Keys for purposes of our own, derived from the JWT secret: none of them tells the secret or another one."""

import hmac


def derived_key(secret: str, purpose: str) -> bytes:
    """The key of 32 bytes for this purpose; the same one as long as the secret is."""
    return hmac.digest(secret.encode(), f"postfleet {purpose}".encode(), "sha256")
