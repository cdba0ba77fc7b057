"""The house stands: imports go down, each library stays in its room, nothing is left half done.

The rules are functions from a source tree to a list of complaints, so that bad examples can show that they bite.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "omexp"

# Room -> floor. A room is the first part of a module's path: `storage/plan.py` is in the room "storage". Every room that is not named
# here is a door: it may know all below, and nothing below may know it.
FLOORS = {
    0: {"errors"},
    1: {"backend", "boxes", "geometry", "grids", "progress", "world", "selection"},
    2: {"metadata", "kernels"},
    3: {"storage"},
    4: {"batching", "pyramid", "measuring", "finding", "label_operations", "overview", "reduced", "stitch", "validate"},
    5: {"containers"},
}
DOOR = 6
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
STRANGERS = {("metadata", "kernels"), ("kernels", "metadata")}  # neighbours that do not know each other

# Library -> the rooms, folders or modules that may import it. A library that is not named here may be imported by all.
ROOMS_OF: dict[str, set[str]] = {
    "cupy": {"backend"},
    "cupyx": {"backend"},
    "kvikio": {"storage/direct_reader"},
    "nvidia": {"storage/decoding"},
    "zarr": {"storage"},
    "zarrs": {"storage"},
    "numcodecs": {"storage"},
    "fsspec": {"storage", "doors"},
    "dask": {"storage/lazy", "ngff", "interop", "distributed"},
    "distributed": {"distributed"},
    "pandas": {"containers/tables"},
    "anndata": {"containers/tables"},
    "pyarrow": {"containers/tables"},
    "polars": {"containers/tables"},
    **{name: {"doors"} for name in ["torch", "matplotlib", "click", "tifffile", "imageio", "napari", "xarray"]},
    "scipy": {"kernels/hulls", "doors"},
    "rich": {"progress", "doors"},
    "PIL": {"overview", "doors"},
    "numpy": {"backend", "selection", "world", "kernels", "storage", "containers/tables", "overview", "stitch", "validate", "doors"},
}
# Libraries that are imported inside the function that needs them, so that `import omexp` stays light.
LATE = {"cupy", "cupyx", "kvikio", "nvidia", "dask", "pandas", "anndata", "pyarrow", "polars"}
ASARRAY = {"backend", "storage", "containers/tables", "doors"}
UNFINISHED = re.compile(r"TODO|FIXME|XXX|raise NotImplementedError|pragma: no cover")


@dataclass(frozen=True)
class Import:
    target: str  # "omexp.storage.plan", "numpy"
    line: int
    late: bool  # inside a function, or by import_module
    typing: bool  # inside `if TYPE_CHECKING:`

    @property
    def library(self) -> str:
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One source file: `name` is its path without ``.py``, a package's ``__init__`` included ("storage/__init__")."""

    name: str
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def room(self) -> str:
        return self.name.partition("/")[0]

    @property
    def floor(self) -> int:
        return FLOOR_OF.get(self.room, DOOR)

    @property
    def dotted(self) -> str:
        return ".".join(["omexp", *self.name.removesuffix("__init__").rstrip("/").split("/")]).rstrip(".")

    def within(self, places: set[str]) -> bool:
        """True when the module is one of the places, lies in one that is a folder, or is a door and "doors" are among them."""
        return ("doors" in places and self.floor == DOOR) or any(
            self.name == place or self.name.startswith(f"{place}/") for place in places
        )

    def imports(self, known: set[str]) -> Iterator[Import]:
        """Every import, by statement or by a literal ``import_module("...")``; `known` are the dotted modules of the package."""
        yield from _imports(self.tree, self, known, late=False, typing=False)


def _imports(node: ast.AST, module: Module, known: set[str], *, late: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inner_late = late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        inner_typing = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        for target in dict.fromkeys(_targets(child, module, known)):
            yield Import(target, child.lineno, inner_late, inner_typing)
        yield from _imports(child, module, known, late=inner_late, typing=inner_typing)


def _targets(node: ast.AST, module: Module, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module.dotted if module.name.endswith("__init__") else module.dotted.rpartition(".")[0]
            base = ".".join(filter(None, [*package.split(".")[: len(package.split(".")) - node.level + 1], node.module]))
        return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
        name = node.args[0]
        return [name.value] if isinstance(name, ast.Constant) and isinstance(name.value, str) else []
    return []


Tree = dict[str, Module]


def read_tree(texts: dict[str, str]) -> Tree:
    return {name: Module(name, text, ast.parse(text, filename=name)) for name, text in texts.items()}


def dotted_names(tree: Tree) -> set[str]:
    return {module.dotted for module in tree.values()}


def room_of(target: str) -> str:
    """The room of a dotted module of the package; the package itself is the door ``__init__``."""
    return [*target.split("."), "__init__"][1]


# ---------------------------------------------------------------------------------------------------------- rules
def imports_that_go_up(tree: Tree) -> list[str]:
    complaints = []
    for module in tree.values():
        for found in module.imports(dotted_names(tree)):
            if found.library != "omexp":
                continue
            other = room_of(found.target)
            if FLOOR_OF.get(other, DOOR) > module.floor or (module.room, other) in STRANGERS:
                complaints.append(f"{module.name}:{found.line}: '{module.room}' must not know '{other}'")
    return complaints


def imports_in_a_circle(tree: Tree) -> list[str]:
    known = dotted_names(tree)
    graph = {m.dotted: {f.target for f in m.imports(known) if f.target in known and not f.typing} - {m.dotted} for m in tree.values()}
    complaints, done = [], set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            complaints.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return complaints


def libraries_out_of_their_room(tree: Tree) -> list[str]:
    complaints = []
    for module in tree.values():
        for found in module.imports(set()):
            rooms = ROOMS_OF.get(found.library)
            if rooms is not None and not found.typing and not module.within(rooms):
                complaints.append(f"{module.name}:{found.line}: imports {found.library}, which lives in {', '.join(sorted(rooms))}")
    return complaints


def libraries_imported_too_early(tree: Tree) -> list[str]:
    return [
        f"{module.name}:{found.line}: import {found.library} inside the function that needs it"
        for module in tree.values()
        for found in module.imports(set())
        if found.library in LATE and not found.late and not found.typing
    ]


def imports_that_hide(tree: Tree) -> list[str]:
    """Below the doors the package's own modules are imported at the top: a late import is how a circle or a way up hides."""
    return [
        f"{module.name}:{found.line}: move the import of {found.target} to the top of the file"
        for module in tree.values()
        for found in module.imports(dotted_names(tree))
        if found.late and found.library == "omexp" and module.floor < DOOR
    ]


def hidden_host_copies(tree: Tree) -> list[str]:
    return [
        f"{module.name}:{node.lineno}: {ast.unparse(node.func)} may copy from a device; use to_host"
        for module in tree.values()
        if not module.within(ASARRAY)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and re.fullmatch(r"(np|numpy)\.as\w*array", ast.unparse(node.func))
    ]


def unfinished_work(tree: Tree) -> list[str]:
    return [
        f"{module.name}:{number}: {found[0]}"
        for module in tree.values()
        for number, line in enumerate(module.text.splitlines(), 1)
        if (found := UNFINISHED.search(line))
    ]


def modules_without_a_first_sentence(tree: Tree) -> list[str]:
    return [m.name for m in tree.values() if m.text.strip() and not (ast.get_docstring(m.tree) or "").partition("\n")[0].strip()]


def files_that_hold_two_ideas(tree: Tree) -> list[str]:
    return [f"{m.name}: {lines} lines" for m in tree.values() if (lines := len(m.text.splitlines())) > 400]


RULES: list[Callable[[Tree], list[str]]] = [
    imports_that_go_up,
    imports_in_a_circle,
    libraries_out_of_their_room,
    libraries_imported_too_early,
    imports_that_hide,
    hidden_host_copies,
    unfinished_work,
    modules_without_a_first_sentence,
    files_that_hold_two_ideas,
]


# ---------------------------------------------------------------------------------------------------------- tests
@pytest.fixture(scope="module")
def omexp_tree() -> Tree:
    return read_tree({str(path.relative_to(SRC).with_suffix("")): path.read_text(encoding="utf-8") for path in sorted(SRC.rglob("*.py"))})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Callable[[Tree], list[str]], omexp_tree: Tree) -> None:
    assert "errors" in omexp_tree
    complaints = rule(omexp_tree)
    assert not complaints, "\n".join(complaints)


GOOD = {
    "__init__": '"""Door."""\nfrom omexp.containers.image import Image\nfrom omexp import errors\n',
    "errors": '"""Errors."""\n',
    "metadata/__init__": "",
    "metadata/axes": '"""Axes."""\nimport re\nfrom omexp.errors import E\n',
    "metadata/image": '"""Image."""\nfrom . import axes\nfrom ..errors import E\n',
    "kernels/windows": '"""Windows."""\nimport numpy as np\nfrom omexp.backend import native\n',
    "backend": '"""Seam."""\nimport importlib\ndef f():\n    return importlib.import_module("array_api_compat.cupy")\n',
    "storage/lazy": '"""Lazy."""\nimport zarr\ndef f():\n    import dask.array as da\n    return da\n',
    "containers/image": '"""Image."""\nfrom omexp.storage import lazy\nif TYPE_CHECKING:\n    import numpy as np\n',
    "containers/tables/frames": '"""Frames."""\nimport numpy as np\ndef f(x):\n    import pandas as pd\n    return pd, np.asarray(x)\n',
    "cli": '"""Door."""\nimport click\nfrom rich.table import Table\ndef main():\n    from omexp.demo import run\n    return run\n',
    "demo": '"""Demo."""\n',
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_rule_complains_about_a_sound_house(rule: Callable[[Tree], list[str]]) -> None:
    assert rule(read_tree(GOOD)) == []


BAD: list[tuple[Callable[[Tree], list[str]], str, str, str]] = [
    (imports_that_go_up, "geometry", "from omexp.storage import plan", "geometry:1: 'geometry' must not know 'storage'"),
    (imports_that_go_up, "storage/plan", "from omexp.pyramid import build", "storage/plan:1: 'storage' must not know 'pyramid'"),
    (imports_that_go_up, "kernels/windows", "import omexp", "'kernels' must not know '__init__'"),
    (imports_that_go_up, "kernels/windows", "from omexp import demo", "'kernels' must not know 'demo'"),
    (imports_that_go_up, "kernels/windows", "from omexp.metadata.axes import A", "'kernels' must not know 'metadata'"),
    (imports_that_go_up, "metadata/image", "from ..kernels import windows", "'metadata' must not know 'kernels'"),
    (imports_that_go_up, "metadata/image", "from ..kernels.windows import w", "'metadata' must not know 'kernels'"),
    (imports_that_go_up, "errors", "def f():\n    import omexp.backend", "errors:2: 'errors' must not know 'backend'"),
    (imports_that_go_up, "storage/plan", "import importlib\nimportlib.import_module('omexp.cli')", "storage/plan:2"),
    (
        imports_in_a_circle,
        "metadata/axes",
        "from omexp.metadata.image import I",
        "omexp.metadata.axes -> omexp.metadata.image -> omexp.metadata.axes",
    ),
    (imports_in_a_circle, "demo", "from omexp.cli import main", "omexp.cli -> omexp.demo -> omexp.cli"),
    (libraries_out_of_their_room, "kernels/windows", "import zarr", "kernels/windows:1: imports zarr, which lives in storage"),
    (libraries_out_of_their_room, "kernels/_cuda", "def f():\n    import cupy", "imports cupy, which lives in backend"),
    (libraries_out_of_their_room, "kernels/_cuda", "import importlib\nimportlib.import_module('cupyx.jit')", "imports cupyx"),
    (libraries_out_of_their_room, "metadata/axes", "import numpy", "imports numpy"),
    (libraries_out_of_their_room, "geometry", "from numpy import ndarray", "imports numpy"),
    (libraries_out_of_their_room, "pyramid", "import numpy as np", "imports numpy"),
    (libraries_out_of_their_room, "containers/image", "import numpy as np", "imports numpy"),
    (libraries_out_of_their_room, "containers/tables_view", "import pandas", "imports pandas"),
    (libraries_out_of_their_room, "storage/reading", "def f():\n    import dask", "imports dask"),
    (libraries_out_of_their_room, "storage/reading", "import rich", "imports rich"),
    (libraries_imported_too_early, "storage/lazy", "import dask.array as da", "storage/lazy:1: import dask inside the function"),
    (libraries_imported_too_early, "interop", "from dask import array", "interop:1: import dask inside the function"),
    (
        imports_that_hide,
        "containers/image",
        "def f():\n    from omexp.storage import lazy",
        "containers/image:2: move the import of omexp.storage.lazy",
    ),
    (hidden_host_copies, "kernels/windows", "import numpy as np\nx = np.asarray([1])", "kernels/windows:2: np.asarray may copy"),
    (unfinished_work, "pyramid", '"""Pyramid."""\ndef f():\n    raise NotImplementedError', "pyramid:3: raise NotImplementedError"),
    (unfinished_work, "pyramid", "# TODO later", "pyramid:1: TODO"),
    (modules_without_a_first_sentence, "pyramid", "x = 1", "pyramid"),
    (files_that_hold_two_ideas, "pyramid", "x = 1\n" * 401, "pyramid: 401 lines"),
]


@pytest.mark.parametrize(("rule", "name", "text", "complaint"), BAD, ids=[f"{rule.__name__}-{name}" for rule, name, *_ in BAD])
def test_the_rule_bites(rule: Callable[[Tree], list[str]], name: str, text: str, complaint: str) -> None:
    complaints = rule(read_tree({**GOOD, name: text}))
    assert any(complaint in found for found in complaints), complaints
