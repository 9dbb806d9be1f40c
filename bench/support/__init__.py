"""Parts that several benches use, or that would make one too long."""
