"""The state of a running world: accounts, chats, messages and logins. It knows nothing of sockets."""
