"""Posting with one account, and one cycle over a user's groups."""
