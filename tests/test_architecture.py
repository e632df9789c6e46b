"""The floors: imports only go down. All chance is an argument. What has grown too long is named."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import robustbench_msda

PACKAGE = Path(robustbench_msda.__file__).parent
FLOORS = {
    7: ("__main__",),
    6: ("cli",),
    5: (
        "estimates",
        "opening",
        "page",
        "papers",
        "preflight",
        "preview",
        "reporting",
        "running",
        "speeds",
        "studies",
        "study_rows",
        "transfers",
        "verbs",
    ),
    4: ("comparison", "corrupting", "evaluation", "figures", "scoring", "tables", "training"),
    3: ("augmentations", "benchmarks"),
    2: ("attacks", "data", "models", "prediction", "results"),
    1: ("corruptions", "engines", "metrics", "statistics"),
    0: ("conditions", "errors", "expressions", "files", "progress", "provenance", "recipes", "records", "streams"),
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
# On these floors modules may import each other, in no circle: the ground is small, and the fifth floor joins the rest.
OPEN_FLOORS = {0, 5}
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 40


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def top(path: Path) -> str:
    """Return the module of the package that ``path`` is, or the folder it is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names a statement imports, each with what is taken from it."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """Return the modules and folders of the package that ``path`` imports anywhere in it, functions included."""
    names = {name for node in ast.walk(tree(path)) for name in imports(node)}
    inner = {name.split(".")[1] for name in names if name.startswith("robustbench_msda.")}
    return inner - {"__version__", top(path)}


def at_import(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported: not functions, nor what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from at_import(child)


INSIDE = [path for path in MODULES if path != PACKAGE / "__init__.py"]


def test_there_is_a_package_to_look_at() -> None:
    assert len(MODULES) > 50


def test_every_module_has_a_floor() -> None:
    assert {top(path) for path in INSIDE} - set(FLOOR_OF) == set()


def test_the_package_itself_imports_nothing_until_it_is_asked() -> None:
    names = {name for node in at_import(tree(PACKAGE / "__init__.py")) for name in imports(node)}
    assert {name.split(".")[0] for name in names} <= {"__future__", "typing"}


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_imports_only_go_down(path: Path) -> None:
    floor = FLOOR_OF[top(path)]
    for other in ours(path):
        theirs = FLOOR_OF.get(other, 7)  # what the package itself offers is above all
        assert theirs < floor or (theirs == floor and floor in OPEN_FLOORS), (
            f"{name_of(path)} is on floor {floor} and imports {other} of floor {theirs}"
        )


def test_no_module_imports_itself_by_a_detour() -> None:
    reaches = {name: set[str]() for name in FLOOR_OF}
    for path in INSIDE:
        reaches[top(path)] |= ours(path)
    for _ in FLOOR_OF:
        reaches = {name: found.union(*(reaches[other] for other in found)) for name, found in reaches.items()}
    assert [name for name, found in reaches.items() if name in found] == []


GROUND = [path for path in INSIDE if FLOOR_OF[top(path)] == 0]


@pytest.mark.parametrize("path", GROUND, ids=name_of)
def test_the_ground_floor_does_not_import_torch(path: Path) -> None:
    heavy = {name.split(".")[0] for node in at_import(tree(path)) for name in imports(node)}
    assert heavy.isdisjoint({"torch", "torchvision", "timm", "foolbox", "pandas", "matplotlib"})


def test_importing_the_ground_floor_loads_no_torch() -> None:
    modules = ", ".join(f"robustbench_msda.{top(path)}" for path in GROUND)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# NumPy's and torch's generators of the process, and Python's, are not to be used.
FREE = {"Generator", "Philox", "bit_generator"}
DRAWS = {"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"} | {
    "bernoulli",
    "multinomial",
    "normal",
    "poisson",
}
SEEDS = {f"torch.{owner}manual_seed{which}" for owner in ("", "cuda.", "default_generator.") for which in ("", "_all")}


def dotted(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def forks(node: ast.AST) -> bool:
    return isinstance(node, ast.With) and any("fork_rng(" in ast.unparse(item.context_expr) for item in node.items)


def global_numpy(node: ast.AST) -> Iterator[str]:
    """Yield the name of Python's or NumPy's generator that ``node`` imports or uses."""
    for name in (*imports(node), dotted(node)):
        pieces = re.sub(r"^np\.", "numpy.", name).split(".")
        if (pieces[0] == "random" and list(imports(node))) or (
            pieces[:2] == ["numpy", "random"] and pieces[2:] and pieces[2] not in FREE
        ):
            yield name


def global_torch(node: ast.AST, forked: bool) -> Iterator[str]:
    """Yield the function of torch that ``node`` calls and that draws from the process's generator or seeds it."""
    if not isinstance(node, ast.Call):
        return
    library, _, function = (called := dotted(node.func)).rpartition(".")
    given = any(keyword.arg == "generator" for keyword in node.keywords)
    if (library == "torch" and function in DRAWS and not given) or (called in SEEDS and not forked):
        yield called


def global_draws(node: ast.AST, forked: bool = False) -> Iterator[str]:
    """Yield what in ``node`` uses a generator of the process; ``torch.manual_seed`` is free inside ``fork_rng``."""
    forked = forked or forks(node)
    yield from global_numpy(node)
    yield from global_torch(node, forked)
    for child in ast.iter_child_nodes(node):
        yield from global_draws(child, forked)


# Layers have no argument to spare: they draw as torch's dropout does, and the training loop seeds that every epoch.
LAYERS = "models/regularisers.py"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) != LAYERS], ids=name_of)
def test_all_chance_is_an_argument(path: Path) -> None:
    assert list(global_draws(tree(path))) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("np.random.seed(0)", ["np.random.seed"]),
        ("rng = np.random.default_rng(0)", ["np.random.default_rng"]),
        ("from numpy.random import rand", ["numpy.random.rand"]),
        ("import random", ["random"]),
        ("x = torch.randn(3)", ["torch.randn"]),
        ("torch.manual_seed(3)", ["torch.manual_seed"]),
        ("with torch.random.fork_rng():\n    torch.manual_seed(3)", []),
        ("x = torch.randn(3, generator=g)\ny = np.random.Generator(np.random.Philox(3))", []),
    ],
)
def test_this_check_sees_what_it_should(code: str, found: list[str]) -> None:
    assert list(global_draws(ast.parse(code))) == found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of ``function`` without its decorators and docstring."""
    body = function.body
    first = body[1] if ast.get_docstring(function) is not None and len(body) > 1 else body[0]
    header = body[0].lineno - function.lineno
    return header + (function.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name: length(node) for node in functions if length(node) > LONGEST_FUNCTION} == {}


def test_no_module_is_a_drawer_for_everything() -> None:
    names = {path.stem for path in MODULES} | {path.parent.name for path in MODULES}
    assert names.isdisjoint({"utils", "util", "common", "helpers", "misc"})
