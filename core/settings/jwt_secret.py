"""The requirements for a secret that signs tokens."""

from core.errors import SettingsError

EXAMPLE_SECRET = "change-me-to-at-least-32-random-characters"  # noqa: S105  the one in .env.example, refused
MIN_SECRET_BYTES = 32
MAKE_SECRET = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105  a command
_FEWEST_DIFFERENT_CHARACTERS = 8


def check_jwt_secret(secret: str) -> None:
    """Refuse a secret somebody could guess.

    Raises:
        SettingsError: saying what is wrong with it and how to make a good one.
    """
    make_one = f"make one with: {MAKE_SECRET}"
    if not secret:
        raise SettingsError(f"POSTFLEET_JWT_SECRET is not set; {make_one}")
    if secret == EXAMPLE_SECRET:
        raise SettingsError(f"POSTFLEET_JWT_SECRET is the example from .env.example, which everybody knows; {make_one}")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError(f"POSTFLEET_JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes; {make_one}")
    if len(set(secret)) < _FEWEST_DIFFERENT_CHARACTERS:
        raise SettingsError(f"POSTFLEET_JWT_SECRET repeats a few characters and can be guessed; {make_one}")
