"""Every code block of the README and of the pages runs, or says why not; so does every example in a docstring."""

from __future__ import annotations

import doctest
import importlib
import re
import tomllib
from pathlib import Path

import pytest

from tests.docs_blocks import DOCTEST_FLAGS, PYTHON, Block, blocks_of, run_page, runnable

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.exists()]
MODULES = sorted((ROOT / "src" / "omexp").rglob("*.py"))
OPTIONAL = {"cupy", "kvikio", "nvidia", "torch", "distributed", "s3fs", "tifffile", "imageio", "matplotlib", "numba"}


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples may create stores: each runs in a folder of its own, and draws into files, not windows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


def test_there_is_a_readme() -> None:
    assert ROOT / "README.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_the_code_of_the_page_runs(page: Path) -> None:
    assert run_page(page) == len(runnable(blocks_of(page.read_text(encoding="utf-8"))))


SILENT = [(page, block) for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8")) if block.not_run is not None]


@pytest.mark.parametrize(("page", "block"), SILENT, ids=[f"{shown(page)}:{block.line}" for page, block in SILENT])
def test_a_block_that_is_not_run_says_why(page: Path, block: Block) -> None:
    assert block.not_run, f"{shown(page)}:{block.line}: give the reason: <!-- not run: reason -->"
    assert block.language in PYTHON, (
        f"{shown(page)}:{block.line}: a block of {block.language or 'no language'} is never run; drop the comment"
    )
    pytest.skip(block.not_run)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_the_examples_in_the_docstrings_run(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")
    assert doctest.testmod(module, optionflags=DOCTEST_FLAGS).failed == 0


# ----------------------------------------------------------------------------------------------------- dependencies
def declared() -> dict[str, list[str]]:
    """Extra -> names of what it asks for; the core is the extra ``""``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [re.split(r"[<>=! ]", line)[0] for line in lines] for extra, lines in asked.items()}


def test_every_dependency_and_extra_is_explained() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    core, extras = page.split("## Extras")
    assert [name for name in declared()[""] if f"| {name} " not in core] == []
    assert [extra for extra in declared() if extra and f"`{extra}`" not in extras] == []


def test_no_dependency_pins_what_omexp_must_not_pin() -> None:
    everything = [name for names in declared().values() for name in names]
    assert not {"zarr[gpu]", "kvikio[zarr]", "kvikio-cu12[zarr]", "kvikio-cu13[zarr]"}.intersection(everything)
    assert [extra for extra, names in declared().items() if "torch" in names] == ["torch"]


# --------------------------------------------------------------------------------------------------- the extractor
PAGE = """
# Title

```python title="first.py"
x = 2
```

=== "Tab"
    ```pycon
    >>> x + 1
    3
    >>> y = x * 10
    ```

```bash
rm -rf /
```

<!-- not run: needs a GPU
     of your own -->

```python
raise SystemExit
```

Prose after the comment's block.

~~~py
z = y + 1
~~~

````markdown
```python
raise SystemExit
```
````
"""


def test_blocks_are_found_with_line_language_and_reason(tmp_path: Path) -> None:
    found = blocks_of(PAGE)
    assert [(b.line, b.language, b.not_run) for b in found] == [
        (5, "python", None),
        (10, "pycon", None),
        (16, "bash", None),
        (23, "python", "needs a GPU of your own"),
        (29, "py", None),
        (33, "markdown", None),
    ]
    assert found[1].code == ">>> x + 1\n3\n>>> y = x * 10\n"
    assert found[0].attributes == 'title="first.py"'


def test_the_blocks_of_a_page_share_their_names_and_run_in_order(tmp_path: Path) -> None:
    page, names = tmp_path / "page.md", {}
    page.write_text(PAGE)
    assert run_page(page, names) == 3
    assert (names["x"], names["y"], names["z"]) == (2, 20, 21)


def test_code_can_be_changed_before_it_runs(tmp_path: Path) -> None:
    page, names = tmp_path / "page.md", {}
    page.write_text("```python\nimport other\n```\n")
    run_page(page, names, change=lambda code: code.replace("other", "json"))
    assert names["json"].__name__ == "json"


def test_a_session_that_prints_something_else_fails_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n```pycon\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(AssertionError, match=r'page.md", line 4[\s\S]*Expected:\s+3\s+Got:\s+2'):
        run_page(page)


def test_a_session_that_raises_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 / 0\n```\n")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_page(page)


def test_an_error_in_a_block_shows_the_line_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\n\n```python\na = 1\na / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page)
    assert (Path(caught.traceback[-1].path).name, caught.traceback[-1].lineno + 1) == ("page.md", 5)


def test_a_comment_counts_for_the_block_right_after_it_only() -> None:
    text = "<!-- not run: later -->\n\nProse.\n\n```python\n1\n```\n<!-- not run: -->\n```python\n2\n```\n"
    assert [block.not_run for block in blocks_of(text)] == [None, ""]
