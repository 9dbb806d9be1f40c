"""Which account may work for whom, and the keys of accounts."""
