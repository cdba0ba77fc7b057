"""Pure array work. Knows: arrays, windows, labels, masks. Does not know: metadata, files."""
