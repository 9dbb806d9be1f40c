"""The base of every stored value."""

from datetime import datetime
from typing import Annotated

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment with an offset; the API's document calls it a date-time."""


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of every stored value. Values form no cycles, so the collector need not walk them (`gc=False`)."""
