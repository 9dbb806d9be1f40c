"""A Telegram data centre on loopback, for demos and tests. Stands apart from the other rooms."""
