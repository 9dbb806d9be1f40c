"""Keys for single purposes, derived from the JWT secret. None reveals the secret or another key."""

import hmac


def derived_key(secret: str, purpose: str) -> bytes:
    """Return the key of 32 bytes for this purpose. It stays the same while the secret does."""
    return hmac.digest(secret.encode(), f"postfleet {purpose}".encode(), "sha256")
