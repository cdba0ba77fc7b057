"""Units of other formats. Knows: their names, their length in micrometers or seconds. Does not know: where they were read."""

from __future__ import annotations

from omexp.errors import ArgumentError
from omexp.world import PixelSize

__all__ = ["in_micrometers", "seconds", "space_sizes", "unit_problem"]

# UDUNITS-2 name (as OME-Zarr wants it) and length in micrometers, for each spelling that OME-XML and ImageJ use
_SPACE: dict[str, tuple[str, float]] = {
    **{s: ("micrometer", 1.0) for s in ("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre", "\\u00B5m", "\\u00b5m")},
    **{s: ("nanometer", 1e-3) for s in ("nm", "nanometer", "nanometre")},
    **{s: ("picometer", 1e-6) for s in ("pm", "picometer")},
    **{s: ("angstrom", 1e-4) for s in ("Å", "Å", "angstrom")},
    **{s: ("millimeter", 1e3) for s in ("mm", "millimeter", "millimetre")},
    **{s: ("centimeter", 1e4) for s in ("cm", "centimeter", "centimetre")},
    **{s: ("decimeter", 1e5) for s in ("dm", "decimeter")},
    **{s: ("meter", 1e6) for s in ("m", "meter", "metre")},
    **{s: ("kilometer", 1e9) for s in ("km", "kilometer")},
    **{s: ("inch", 25400.0) for s in ("in", "inch", "inches")},
    **{s: ("foot", 304800.0) for s in ("ft", "foot")},
}
# "SHOULD be one of these strings, which are valid units according to UDUNITS-2" (0.4, 0.5: axes)
_LARGE, _SMALL = ("exa", "giga", "hecto", "kilo", "mega", "peta", "tera", "yotta", "zetta"), ("atto", "centi", "deci", "femto", "micro")
_PREFIXES = (*_LARGE, *_SMALL, "milli", "nano", "pico", "yocto", "zepto")
_LENGTHS = {*(f"{p}meter" for p in _PREFIXES), "meter", "angstrom", "foot", "inch", "mile", "parsec", "yard"}
_TIMES = {*(f"{p}second" for p in _PREFIXES), "second", "minute", "hour", "day"}
_METRIC = {"nanometer", "millimeter", "micrometer"}
_TIME = {
    **{s: 1.0 for s in ("s", "sec", "second", "seconds")},
    **{s: 1e-3 for s in ("ms", "msec", "millisecond", "milliseconds")},
    **{s: 1e-6 for s in ("µs", "μs", "us", "microsecond")},
    **{s: 1e-9 for s in ("ns", "nanosecond")},
    **{s: 60.0 for s in ("min", "minute", "minutes")},
    **{s: 3600.0 for s in ("h", "hour", "hours")},
    **{s: 86400.0 for s in ("d", "day", "days")},
}


_TIME_NAMES = {
    s: {1.0: "second", 1e-3: "millisecond", 1e-6: "microsecond", 1e-9: "nanosecond", 60.0: "minute"}.get(n) for s, n in _TIME.items()
}


def space_sizes(sizes: dict[str, tuple[float, str]]) -> tuple[dict[str, float], str | None]:
    """Sizes along x, y, z, each with the unit as it was spelled -> sizes in one unit, and its name.

    Nanometers and millimeters become micrometers; another unit that all axes share keeps its name; several become micrometers. A unit that
    is no length ("pixel", "reference frame") is None, and the numbers stay.

    Examples
    --------
    >>> space_sizes({"x": (250.0, "nm"), "z": (0.001, "mm")})
    ({'x': 0.25, 'z': 1.0}, 'micrometer')
    >>> space_sizes({"x": (2.0, "Å"), "y": (2.0, "Å")})
    ({'x': 2.0, 'y': 2.0}, 'angstrom')
    """
    known = {axis: _SPACE.get(unit.strip()) for axis, (_, unit) in sizes.items()}
    if any(found is None for found in known.values()):
        return {axis: size for axis, (size, _) in sizes.items()}, None
    names = {found[0] for found in known.values() if found}
    if len(names) == 1 and not names & _METRIC:
        return {axis: size for axis, (size, _) in sizes.items()}, names.pop()
    return {axis: _tidy(size * known[axis][1]) for axis, (size, _) in sizes.items()}, "micrometer"  # type: ignore[index]


def in_micrometers(size: PixelSize) -> dict[str, float]:
    """Axis -> size in micrometers and seconds; a unit of None is these. Raises `ArgumentError` for what is no unit.

    Examples
    --------
    >>> in_micrometers(PixelSize(x=325, y=325, z=1000, space_unit="nanometer"))
    {'z': 1.0, 'y': 0.325, 'x': 0.325, 't': 1.0}
    """
    space, time = size.space_unit or "micrometer", size.time_unit or "second"
    length, t = _SPACE.get(space.strip()), seconds(size.t, time)
    if length is None or t is None:
        raise ArgumentError(
            "a unit of the pixel size is not understood",
            where="pixel_size",
            got=f"{space}, {time}",
            allowed="units of length and time, such as micrometer, nanometer, second, millisecond",
        )
    return {axis: _tidy(size.get(axis) * length[1]) for axis in "zyx"} | {"t": t}


def unit_problem(unit: str | None) -> str | None:
    """What is wrong with the name of a unit in OME-Zarr metadata; None if nothing is.

    Examples
    --------
    >>> unit_problem("um")
    "'um' is no unit that OME-Zarr names; it should be 'micrometer'"
    >>> unit_problem("nanometer")
    """
    if unit is None or unit in _LENGTHS | _TIMES:
        return None
    known = _SPACE.get(unit.strip())
    name = known[0] if known else _TIME_NAMES.get(unit.strip())
    return f"{unit!r} is no unit that OME-Zarr names; it should be {repr(name) if name else 'such as micrometer or second'}"


def seconds(value: float, unit: str) -> float | None:
    """A time in seconds; None for what is no unit of time."""
    factor = _TIME.get(unit.strip())
    return None if factor is None else _tidy(value * factor)


def _tidy(value: float) -> float:
    """Without the last bits of a multiplication by 1e-3: 0.1 nm is 0.0001, not 0.00010000000000000002."""
    return float(f"{value:.15g}")
