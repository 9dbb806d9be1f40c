"""TCP framing: where packets begin and end in the stream, whatever they hold."""
