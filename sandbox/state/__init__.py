"""The running world: who exists, what was said, who is signed in. Knows nothing of sockets."""
