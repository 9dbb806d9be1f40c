"""When: the fast tick, the heap of due users, start and stop of bots."""
