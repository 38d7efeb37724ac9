"""The shape of the house: import order, names of files, sizes."""

import ast
from pathlib import Path

import pytest

import segtune

SOURCE = Path(segtune.__file__).parent
ORDER = [
    "errors", "out_of_memory", "spread", "files", "machine", "allocator", "arrays", "classes", "config", "pictures",
    "console", "web_page", "preprocessing", "description", "annotations", "run_folder", "data", "models", "model_file",
    "foreign_weights", "runtimes", "prediction", "evaluation", "exports", "report", "training", "labeling", "demo",
    "serving", "cli", "__main__",
]  # fmt: skip
WITHOUT_TORCH = {
    "errors", "out_of_memory", "spread", "files", "machine", "allocator", "arrays", "classes", "config", "pictures",
    "console", "web_page", "preprocessing", "description", "annotations", "run_folder", "prediction", "evaluation",
    "labeling", "cli",
}  # fmt: skip
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def stage(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_only_to_stages_before(path):
    used = {name.split(".")[1] for name in imports(path) if name.startswith("segtune.")}
    later = {name for name in used if ORDER.index(name) > ORDER.index(stage(path))}
    assert not later


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if stage(path) in WITHOUT_TORCH],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_stages_before_the_network_do_not_import_torch(path):
    assert not {name.split(".")[0] for name in imports(path, True)} & {"torch", "torchvision", "timm"}


def test_every_stage_is_in_the_order():
    assert {stage(path) for path in FILES} == set(ORDER)


def test_no_file_has_a_name_that_says_nothing():
    assert not {path.stem for path in FILES} & {"utils", "helpers", "common", "misc", "tools"}
