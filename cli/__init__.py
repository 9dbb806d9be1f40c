"""The commands, one file a group; wires the rooms together."""
