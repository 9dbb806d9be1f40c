"""Paths that are treated apart before a request reaches its route."""

STATE_PATH = "/api/sync/state"
STREAM_PATH = "/api/sync/stream"
UPLOAD_PATHS = frozenset({"/api/media", "/api/sessions/import"})
"""A POST here takes a larger body than others, and more time. Its route bounds the size, piece by piece."""
