"""The rules of the specification as a table. Knows: each rule's versions, level, fix, and what reading does. Does not know: documents.

The one owner of "is that a MUST, and where": the parsers name the rule that is broken, and this table says what follows. A rule is a MUST
in the versions of `must` and a SHOULD in those of `should`. `reading` says what a lenient reader does: "stop" (it cannot go on), "warn" (it
goes on and says so) or "quiet" (it goes on; only a validation tells).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FAMILIES", "RULES", "STORE_RULES", "Level", "Rule"]

FAMILIES = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.9")  # of versions, oldest first

Level = Literal["error", "warning"]
Reading = Literal["stop", "warn", "quiet"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the specification: its id, in which versions it is a MUST or a SHOULD, how to mend a document that breaks it."""

    id: str
    must: tuple[str, ...]
    should: tuple[str, ...]
    reading: Reading
    fix: str

    def level(self, version: str) -> Level | None:
        """ "error" for a MUST, "warning" for a SHOULD, None where that version has no such rule."""
        return "error" if version in self.must else "warning" if version in self.should else None


def _versions(span: str) -> tuple[str, ...]:
    """ "0.4-0.6" as the versions from the one to the other."""
    if not span:
        return ()
    first, _, last = span.partition("-")
    return FAMILIES[FAMILIES.index(first) : FAMILIES.index(last or first) + 1]


_ALL = "0.1-0.9"
_TABLE: tuple[tuple[str, str, str, Reading, str], ...] = (  # id, MUST in, SHOULD in, reading, fix
    # ---- any document
    ("object", _ALL, "", "stop", "Write an object."),
    ("list", _ALL, "", "stop", "Write a list."),
    ("string", _ALL, "", "warn", "Write a string."),
    ("string-number", _ALL, "", "quiet", "Write the number as a string."),
    ("null", _ALL, "", "quiet", "Leave the key out."),
    ("known-kind", _ALL, "", "quiet", "Write one of multiscales, plate, well, labels, bioformats2raw.layout, series, scene."),
    ("version-known", _ALL, "", "stop", "Write one of the released versions."),
    ("version-released", "", _ALL, "warn", "Write the released version without a suffix."),
    ("version-format", _ALL, "", "stop", "Write 0.1 to 0.4 in Zarr format 2, and 0.5 and later in Zarr format 3."),
    ("version-wanted", _ALL, "", "quiet", "Convert the document."),
    ("version-missing", "0.5-0.9", "", "quiet", "Write the version under ome.version."),
    ("version-multiscales", "", "0.1-0.4", "quiet", "Write the version inside the multiscales entry."),
    ("version-well", "", "0.1-0.5", "quiet", "Write the version inside the well block."),
    ("version-plate", "0.1-0.3", "0.4-0.5", "quiet", "Write the version inside the plate block."),
    ("version-same", _ALL, "", "quiet", "Write the same version everywhere."),
    # ---- multiscales
    ("multiscales-empty", _ALL, "", "stop", "Write at least one entry."),
    ("multiscale-name", "", _ALL, "quiet", "Give the image a name."),
    ("multiscale-type", "", _ALL, "quiet", "Name the method that made the levels, for example 'mean'."),
    ("multiscale-metadata", "", _ALL, "quiet", "Describe the method that made the levels in an object."),
    ("multiscale-metadata-object", _ALL, "", "warn", "Write metadata as an object."),
    ("axis-name", _ALL, "", "stop", "Give every axis a name."),
    ("axis-name-unique", _ALL, "", "stop", "Give every axis a name of its own."),
    ("axis-name-known", "0.3", "", "quiet", "Use t, c, z, y, x."),
    ("axis-string", "0.3", "", "quiet", "Write the names of the axes as strings."),
    ("axes-empty", _ALL, "", "stop", "Write one axis per dimension."),
    ("axes-count", "0.3-0.6", "", "warn", "Split or squeeze the array to 2 to 5 axes."),
    ("axes-most", _ALL, "", "stop", "No array has so many axes."),
    ("axes-space", "0.3-0.6", "", "quiet", "Give 2 or 3 axes the type space."),
    ("axes-time", "0.3-0.6", "", "quiet", "Give at most one axis the type time."),
    ("axes-channel", "0.3-0.6", "", "quiet", "Have at most one axis that is neither time nor space."),
    ("axes-order", "0.3-0.6", "", "quiet", "Transpose the array to time, channel, space."),
    ("axes-zyx", "0.3", "0.4-0.6", "quiet", "Transpose the array to z, y, x."),
    ("axis-type", "", "0.4-0.9", "quiet", "Write the type: space, time, channel."),
    ("axis-unit", "", "0.4-0.9", "quiet", "Write a unit, for example micrometer."),
    ("axis-unit-known", "", "0.4-0.9", "quiet", "Write a unit of UDUNITS-2 in full, for example micrometer."),
    ("axis-discrete", "0.6-0.9", "", "quiet", "Write true or false."),
    ("orientation-space", "0.4-0.9", "", "quiet", "Orient axes of type space only."),
    ("orientation-value", "0.4-0.9", "", "quiet", "Write type 'anatomical' and a value of RFC-4."),
    ("orientation-unique", "0.4-0.9", "", "quiet", "Orient each anatomical direction once."),
    # ---- datasets and their transforms
    ("datasets-empty", _ALL, "", "stop", "List at least one level."),
    ("datasets-order", _ALL, "", "quiet", "List the finest level first."),
    ("dataset-path", _ALL, "", "stop", "Write the path of the level's array."),
    ("dataset-path-inside", _ALL, "", "stop", "Keep the array below the group."),
    ("dataset-path-unique", _ALL, "", "stop", "Give every level a path of its own."),
    ("transforms-missing", "0.4-0.9", "", "stop", "Write one scale per level."),
    ("transforms-order", "0.4-0.5", "", "warn", "Write one scale, then at most one translation."),
    ("transforms-empty", "0.4-0.9", "", "quiet", "Leave the key out."),
    ("transform-identity", "0.4-0.5", "", "quiet", "Write a scale of 1, or nothing."),
    ("transform-type", _ALL, "", "stop", "Write scale or translation."),
    ("transform-vector", _ALL, "", "stop", "Write one finite number per axis; scales above 0."),
    ("transform-range", _ALL, "", "stop", "Write scales whose product is a finite number above 0."),
    # ---- coordinate systems (0.6)
    ("systems-missing", "0.6-0.9", "", "stop", "List at least one coordinate system."),
    ("system-name", "0.6-0.9", "", "stop", "Give every coordinate system a name."),
    ("system-name-unique", "0.6-0.9", "", "warn", "Give every coordinate system a name of its own."),
    ("level-transform", "0.6-0.9", "", "warn", "Write one identity, scale, or sequence of scale and translation per level."),
    ("level-input", "0.6-0.9", "", "quiet", "Write input: {path: the path of the level}."),
    ("level-output", "0.6-0.9", "", "warn", "Write output: {name: the same coordinate system for all levels}."),
    ("transform-ends", "0.6-0.9", "", "quiet", "Write input and output as objects that name coordinate systems."),
    ("transform-system", "0.6-0.9", "", "quiet", "Name coordinate systems of this document, or give the path of the image that has them."),
    ("transform-intrinsic", "0.6-0.9", "", "quiet", "Lead from or to the coordinate system of the levels."),
    ("transform-graph", "0.6-0.9", "", "quiet", "Connect every coordinate system with that of the levels."),
    ("transform-known", "0.6-0.9", "", "warn", "Write a transform of the specification with all its parameters."),
    ("scene-transforms", "0.6-0.9", "", "quiet", "List the transforms of the scene."),
    # ---- omero
    ("omero-channels", _ALL, "", "warn", "Write omero as an object with a list of channels, or leave it out."),
    ("omero-channel", _ALL, "", "warn", "Write every channel as an object."),
    ("omero-count", _ALL, "", "warn", "List one channel per index of the c axis."),
    ("omero-color", "0.1-0.6", "", "quiet", "Write six hex digits, for example '00FF00'."),
    ("omero-color-hex", _ALL, "", "warn", "Write six hex digits, for example '00FF00'."),
    ("omero-window", "0.1-0.6", "", "quiet", "Write a window with the numbers min, max, start, end."),
    ("omero-window-ends", "0.9", "", "quiet", "Write a window with the numbers start and end."),
    ("omero-window-numbers", _ALL, "", "warn", "Write numbers."),
    ("omero-window-text", _ALL, "", "quiet", "Write numbers."),
    ("omero-color-hash", _ALL, "", "quiet", "Write six hex digits without '#', for example '00FF00'."),
    ("omero-active", _ALL, "", "quiet", "Write true or false."),
    # ---- labels
    ("label-block", _ALL, "", "warn", "Write image-label as an object."),
    ("label-source", _ALL, "", "quiet", "Write source as an object with the path of the image."),
    ("label-list", _ALL, "", "warn", "Write a list of objects."),
    ("label-list-empty", _ALL, "", "quiet", "Leave the key out where there is nothing to list."),
    ("label-value", _ALL, "", "warn", "Write an integer."),
    ("label-value-unique", "0.2-0.9", "0.1", "quiet", "List each label value once."),
    ("label-rgba", _ALL, "", "quiet", "Write four integers from 0 to 255."),
    ("label-colors", "", _ALL, "quiet", "Give the labels colours."),
    ("label-version", "", "0.2-0.5", "quiet", "Write the version inside image-label."),
    ("label-multiscales", "", _ALL, "quiet", "Write multiscales beside image-label."),
    ("labels-names", _ALL, "", "stop", "Write a list of paths below the group."),
    ("labels-text", _ALL, "", "quiet", "Write the path as a string."),
    ("labels-unique", "", _ALL, "quiet", "List each path once."),
    ("labels-null", _ALL, "", "quiet", "Write a list of paths below the group, or no such key."),
    ("labels-relative", _ALL, "", "quiet", "Write a path below the group: it begins with no '/'."),
    # ---- plates
    ("plate-rows", _ALL, "", "stop", "Give every row and every column a name of its own."),
    ("plate-empty", _ALL, "", "quiet", "List at least one."),
    ("plate-alphanumeric", "0.4-0.9", "", "quiet", "Use letters and digits only."),
    ("plate-case", "", "0.4-0.9", "quiet", "Avoid names that differ in case only."),
    ("plate-name", "", _ALL, "quiet", "Give the plate a name."),
    ("plate-field-count", _ALL, "", "warn", "Write a positive integer."),
    ("plate-field-count-missing", "", "0.4-0.9", "quiet", "Write the largest number of fields of a well."),
    ("plate-well-path", _ALL, "", "stop", "Write the row's name, '/', the column's name."),
    ("plate-well-unique", "0.4-0.9", "", "warn", "List each well once."),
    ("plate-well-indices", "0.4-0.9", "", "warn", "Write the positions of the well's row and column."),
    ("acquisitions-empty", "0.1-0.3", "", "quiet", "Leave the key out."),
    ("acquisition-id", _ALL, "", "stop", "Give every acquisition an integer id."),
    ("acquisition-id-unique", _ALL, "", "warn", "Give every acquisition an id of its own."),
    ("acquisition-id-positive", "0.4-0.9", "", "quiet", "Write an id of 0 or more."),
    ("acquisition-time", _ALL, "", "quiet", "Write whole seconds or milliseconds since 1970."),
    ("acquisition-fieldcount", _ALL, "", "quiet", "Write a positive integer."),
    ("acquisition-name", "", _ALL, "quiet", "Give every acquisition a name."),
    ("acquisition-fieldcount-missing", "", "0.4-0.9", "quiet", "Write the largest number of fields of the acquisition."),
    # ---- wells
    ("well-empty", _ALL, "", "quiet", "List at least one field."),
    ("well-path", _ALL, "", "stop", "Write a name below the well."),
    ("well-path-unique", _ALL, "", "warn", "Give every field a path of its own."),
    ("well-path-characters", _ALL, "", "quiet", "Use letters and digits (0.6: and '-', '_', '.'; not only dots, no leading '__')."),
    ("well-acquisition", _ALL, "", "warn", "Write the id of one of the plate's acquisitions."),
    # ---- collections
    ("layout-number", _ALL, "", "quiet", "Write bioformats2raw.layout: 3."),
    ("series-paths", _ALL, "", "quiet", "Write a list of paths."),
)  # fmt: skip

# What only a store can break: its documents together, and its arrays. No reader asks for these; `omexp.checking` does.
_STORE_TABLE: tuple[tuple[str, str, str, str], ...] = (  # id, MUST in, SHOULD in, fix
    ("json", _ALL, "", "Correct the JSON (no comments, no NaN), or restore the document from a copy."),
    ("path-inside", _ALL, "", "Name something below the group."),
    ("member-missing", _ALL, "", "Write it, copy it again, or take it off the list."),
    ("member-kind", _ALL, "", "List groups of that kind only."),
    ("hierarchy-version", _ALL, "", "Write one version of OME-Zarr in the whole hierarchy."),
    ("hierarchy-format", _ALL, "", "Write one Zarr format in the whole hierarchy."),
    ("consolidated-stale", "", _ALL, "Consolidate the metadata again: other readers trust the copy."),
    ("levels-unfinished", "", _ALL, "Go on with image.consolidate(resume=True), or make the levels anew."),
    # ---- archives (RFC-9)
    ("archive-root", _ALL, "", "Zip what is in the folder of a Zarr format 3 group, not the folder."),
    ("archive-nested", _ALL, "", "Unpack it, or leave it out."),
    ("archive-compressed", "", _ALL, "Store the entries as they are: chunks are compressed already."),
    ("archive-zip64", "", _ALL, "Write the file with ZIP64 records."),
    ("archive-order", "", _ALL, "Write the zarr.json files first, the outermost first."),
    ("archive-comment", "", _ALL, "Write the comment {\"ome\": {\"version\": ...}}."),
    # ---- arrays
    ("array-missing", _ALL, "", "Write the array, or take the level off the list."),
    ("array-readable", _ALL, "", "Write the array anew, with codecs and a dtype that Zarr knows."),
    ("array-axes", _ALL, "", "List one axis per dimension of the array."),
    ("array-dtype", "0.6-0.9", "0.1-0.5", "Write all levels with one dtype."),
    ("array-shapes", _ALL, "", "List the finest level first; no level is larger than the one before."),
    ("array-scales", "", _ALL, "Write scales that grow as the shapes shrink."),
    ("array-names", "0.5", "0.6-0.9", "Write the names of the axes as dimension_names of the array."),
    ("array-separator", "0.2-0.4", "", "Write chunk keys with '/' between the indices."),
    ("array-fill", "", "0.1-0.4", "Write the fill value as a number of the array's dtype."),
    ("chunk-damaged", _ALL, "", "Restore the chunk from a copy, or write that region anew."),
    ("chunk-stray", "", _ALL, "Remove the file; no reader looks there."),
    # ---- labels and tables
    ("labels-key", "0.5-0.9", "0.1-0.4", "Write the list of labels, with the paths of all labels."),
    ("labels-unlisted", "", "0.5-0.9", "Add it to the list, or remove it."),
    ("labels-between", "0.5-0.9", "", "Keep metadata out of the groups between labels and a label."),
    ("label-block-missing", "", _ALL, "Write image-label: without it a label looks like an image."),
    ("label-dtype", "0.5-0.9", "0.1-0.4", "Write labels as integers of 8 to 64 bits."),
    ("label-levels", _ALL, "", "Write as many levels as the image has."),
    ("label-grid", "", _ALL, "Write the label on the grid of the image: the same sizes, or 1."),
    ("label-source-there", "", _ALL, "Write the path from the label to its image, '../../' for labels of this image."),
    ("tables-missing", "", _ALL, "Write the table, or take it off the list."),
    ("tables-unlisted", "", _ALL, "Add it to the list, or remove it."),
    ("table-region", "", _ALL, "Name a label of this image: {'path': '../labels/NAME'}."),
    # ---- plates, wells, collections, scenes
    ("plate-row-group", "", _ALL, "Write a Zarr group for the row."),
    ("plate-field-count-true", "", _ALL, "Write the largest number of fields of a well."),
    ("acquisition-fieldcount-true", "", _ALL, "Write the largest number of fields of the acquisition."),
    ("well-acquisition-known", "0.4-0.9", "", "Write the id of one of the plate's acquisitions."),
    ("collection-xml", "", "0.4-0.9", "Keep OME/METADATA.ome.xml beside the images."),
    ("scene-system", "0.6-0.9", "", "Name a coordinate system of the image at that path."),
)  # fmt: skip

STORE_RULES = tuple(name for name, *_ in _STORE_TABLE)
RULES = {name: Rule(name, _versions(must), _versions(should), reading, fix) for name, must, should, reading, fix in _TABLE}
RULES |= {name: Rule(name, _versions(must), _versions(should), "quiet", fix) for name, must, should, fix in _STORE_TABLE}
