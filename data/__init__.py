"""The truth on disk. No other room opens these files."""
