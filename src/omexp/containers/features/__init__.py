"""Features of objects: measured block by block, own functions."""
