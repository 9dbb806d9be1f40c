"""What clients may call, one file a namespace of Telegram's API."""
