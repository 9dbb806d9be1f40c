"""The methods that clients may call, grouped as in Telegram's API."""
