"""The server side of MTProto 2.0: key exchange, encryption, sessions and service messages."""
