"""Labels made of labels, block by block. Knows: readers, boxes of objects, seams. Does not know: files, metadata.

A result is a reader: a plan (a table of ids, a distance, which parts belong together) is made first, in one pass over the label at most;
pixels are made when they are read, box by box, and do not depend on the cut.
"""

from omexp.label_operations.expanding import ExpandedReader
from omexp.label_operations.joining import JoinedReader, join_components, join_tiles
from omexp.label_operations.mapping import MappedReader, inner_ids, large_ids, sequential_ids
from omexp.label_operations.overlapping import find_overlaps

__all__ = [
    "ExpandedReader",
    "JoinedReader",
    "MappedReader",
    "find_overlaps",
    "inner_ids",
    "join_components",
    "join_tiles",
    "large_ids",
    "sequential_ids",
]
