"""Settings from the environment (prefix POSTFLEET_) and `.env`. Every name is imported from here.

`fields` declares and describes each of them; `.env.example` and `docs/settings.md` are made from that by
`python -m core.settings_docs`.
"""

from core.settings.fields import SECTIONS, About, Settings, about
from core.settings.jwt_secret import EXAMPLE_SECRET, MIN_SECRET_BYTES, check_jwt_secret
from core.settings.kinds import ApiPair, DataCentre
from core.settings.load import load_settings, name_of, reload_settings, unknown_settings

__all__ = [
    "EXAMPLE_SECRET",
    "MIN_SECRET_BYTES",
    "SECTIONS",
    "About",
    "ApiPair",
    "DataCentre",
    "Settings",
    "about",
    "check_jwt_secret",
    "load_settings",
    "name_of",
    "reload_settings",
    "unknown_settings",
]
