"""The labels of an image. Knows: the group `labels` and its list of names. Does not know: pixels.

Looking something up creates nothing. A label is built beside its place and takes it when it is whole; its name is registered last. One
process at a time changes the list.
"""

from __future__ import annotations

from omexp.containers.blueprint import Blueprint
from omexp.containers.building import How, write_image
from omexp.containers.consolidation import warn_if_unfinished
from omexp.errors import NameNotFoundError, StoreNotFoundError
from omexp.kernels.methods import Methods
from omexp.metadata.versions import decode_names, encode_names, kind_of
from omexp.storage.groups import Group
from omexp.storage.locks import exclusive
from omexp.storage.reading import Reader

__all__ = ["LabelsCollection"]

Names = list[str]  # in the class below, `list` is a method


class LabelsCollection:
    """The labels below an image group, in the image's OME-Zarr version."""

    def __init__(self, image_group: Group, version: str) -> None:
        self._image, self._version = image_group, version

    def list(self) -> Names:
        """The names, as the list has them; where it names none, the groups there that are images; none without a `labels` group."""
        labels = self._image.find("labels")
        if labels is None:
            return []
        return decode_names(labels.attributes_at_opening, "labels") or _unlisted(labels)

    def group(self, name: str) -> Group:
        """The group of a label. Raises `NameNotFoundError`, or `StoreNotFoundError` if it is listed but not on disk."""
        listed = self.list()
        if name not in listed:
            allowed = ", ".join(listed) or "none: the image has no labels"
            raise NameNotFoundError("there is no such label", where=self._image.where, got=repr(name), allowed=allowed)
        found = self._image.find(f"labels/{name}")
        if found is None:
            raise StoreNotFoundError("the label is listed but not on disk", where=f"{self._image.where}/labels/{name}")
        warn_if_unfinished(found)
        return found

    def create(self, name: str, blueprint: Blueprint, *, overwrite: bool, source: Reader | None = None, how: How | None = None) -> Group:
        """Write a label, empty or with the pixels of `source`, and register it. A failure leaves no `labels` group that was not there."""
        with exclusive(self._image):
            had_labels, before = self._image.find("labels") is not None, self.list()
            labels = self._image.require_group("labels")
        try:
            write_image(labels, blueprint, path=name, overwrite=overwrite, source=source, how=how or How(method=Methods.NEAREST))
            with exclusive(self._image):
                labels = self._image.require_group("labels")
                listed = decode_names(labels.attributes, "labels")
                if name not in listed and labels.find(name) is not None:  # else another process has deleted it since
                    self._register(labels, [*(listed or [n for n in before if n != name]), name])
        except BaseException:
            with exclusive(self._image):
                if not had_labels and not labels.members() and not decode_names(labels.attributes, "labels"):
                    self._image.delete("labels")  # nobody else has put a label there meanwhile
            raise
        return self.group(name)

    def delete(self, name: str, *, missing_ok: bool) -> None:
        """Take a label off the list, then remove it. Raises `NameNotFoundError` unless `missing_ok`."""
        if name not in self.list():
            if not missing_ok:
                self.group(name)
            return
        with exclusive(self._image):
            labels = self._image.group("labels")
            self._register(labels, [n for n in self.list() if n != name])
            if labels.find(name) is not None:
                labels.delete(name)

    def _register(self, labels: Group, names: Names) -> None:
        labels.put_attributes(encode_names(labels.attributes, "labels", names, self._version))


def _unlisted(labels: Group) -> Names:
    """Groups that hold a multiscale: early writers forgot the list, or left it empty."""
    names = [name for name in labels.members() if not name.startswith(".")]
    return [name for name in names if (child := labels.find(name)) is not None and kind_of(child.attributes) in ("image", "label")]
