"""The shared vocabulary: models, errors, settings, clock and logs. Imports nothing of ours."""
