"""What holds for every test."""

from hypothesis import settings

# How long an example takes depends on who else uses the machine; that is for `bench/` to measure.
settings.register_profile("any machine", parent=settings(), deadline=None)
settings.load_profile("any machine")
