"""The control API: JWT only, problem documents for errors."""
