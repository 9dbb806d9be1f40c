"""A Telegram data centre on loopback, for demos and tests. It imports nothing from the rest of Postfleet."""
