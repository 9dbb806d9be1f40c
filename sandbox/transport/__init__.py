"""TCP framing: how packets stand in the stream. Knows nothing of what is in them."""
