"""Intensity images. Knows: channels by name. Does not know: labels, masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from omexp.containers.level import Level
from omexp.errors import ArgumentError
from omexp.metadata.channels import ChannelsMeta, default_channels
from omexp.selection import Arrangement, Selection

__all__ = ["Image"]


class Image(Level):
    """One level of an intensity image.

    Everywhere that axes are selected, ``channel_selection=`` may name channels instead of ``c=``: a label or an index (drops the c
    axis), or a list of them (keeps it).
    """

    @property
    def channels_meta(self) -> ChannelsMeta:
        """Channel labels, colours and display windows."""
        return self._meta.channels_meta or default_channels(self.num_channels, self.dtype.name)

    @property
    def channel_labels(self) -> list[str]:
        return self.channels_meta.channel_labels

    @property
    def wavelength_ids(self) -> list[str | None]:
        return self.channels_meta.channel_wavelength_ids

    @property
    def num_channels(self) -> int:
        return self.dimensions.get("c", 1) or 1

    def get_channel_idx(self, channel_label: str | None = None, wavelength_id: str | None = None) -> int:
        """The index along c of a channel by label or wavelength id. Raises `NameNotFoundError`."""
        return self.channels_meta.get_channel_idx(channel_label, wavelength_id, where=self.where)

    def _select(self, slicing: dict[str, Any], axes_order: Sequence[str] | None) -> tuple[Selection, Arrangement]:
        return super()._select(self._channel_slicing(slicing), axes_order)

    def _channel_slicing(self, slicing: dict[str, Any]) -> dict[str, Any]:
        chosen = slicing.get("channel_selection")
        rest = {k: v for k, v in slicing.items() if k != "channel_selection"}
        if chosen is None:
            return rest
        if "c" in rest:
            raise ArgumentError(
                "both c and channel_selection are given",
                where=self.where,
                got=f"c={rest['c']!r}, channel_selection={chosen!r}",
                hint="Pass one of them.",
            )
        many = isinstance(chosen, Iterable) and not isinstance(chosen, str)
        return rest | {"c": [self._channel_index(one) for one in chosen] if many else self._channel_index(chosen)}

    def _channel_index(self, channel: Any) -> Any:
        return self.get_channel_idx(channel_label=channel) if isinstance(channel, str) else channel
