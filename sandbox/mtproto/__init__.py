"""MTProto 2.0, server side: key exchange, encryption, sessions and their service messages."""
