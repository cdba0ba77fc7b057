"""Objects of a label: one at a time, in batches, written back."""
