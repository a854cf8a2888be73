"""The shape of the product: who may import whom, how modules are called, and what the repository never holds."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

ALLOWED = {
    "scoring": set(),
    "training": {"scoring", "dag_specs"},
    "dag_specs": set(),
    "inbox_watcher": {"scoring", "dag_specs"},
    "local_pool": set(),
    "loans": {"scoring", "training", "dag_specs", "inbox_watcher", "local_pool"},
}
"""What each package may import of ours, beside itself."""

ROOMS = {
    "scoring": ("", "csv", "models", "chunk", "results"),
    "inbox_watcher": ("settings", "batch", "inbox", "jobs", "explain", ""),
    "training": (
        "records",
        "history",
        "contract_proposal",
        "features",
        "learners",
        "graphs",
        "card",
        "judging",
        "nodes",
        "run",
        "",
    ),
    "loans": ("terminal", "commands", ""),
}
"""The rooms of each package, lowest first; "" is the package's own folder. A room imports only from lower ones."""

NO_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "base", "misc"}
"""Module names that say nothing of what is inside."""

CODE = {".py", ".pyi", ".toml", ".txt", ".in", ".cfg", ".ini", ".sh", ".yml", ".yaml", ".json", ".service", ".conf"}
BARE = {"Makefile", "run", ".gitignore"}
"""Names without an ending that are code or configuration."""

LEFT_OUT = re.compile(r"\.venv.*|\.git|build|__pycache__|.*\.egg-info|\..*_cache|\.hypothesis|demo")
"""Folders that are made, not written."""

ADDRESS = re.compile("http" + r"s?://(?!www\.w3\.org/|([a-z-]+\.)*example[/\"' ])")
"""An address; names of XML namespaces and hosts that cannot exist (RFC 2606) are none."""

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted|anaconda\.org|conda-forge|deb\.debian|debian\.org|ubuntu\.com|--index-url|--find-links|"
    r"--extra-index-url|--trusted-host|artifactory|nexus\.",
    re.IGNORECASE,
)
"""What names a registry or a mirror, or makes pip use one."""


def modules(package: str) -> list[Path]:
    """List a package's modules."""
    return sorted((REPOSITORY / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Name everything that a module imports, late imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from (
                word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
            )


def written_files() -> Iterator[Path]:
    """Give every file that somebody wrote; a checkout need not have git."""
    folders = [REPOSITORY]
    while folders:
        for path in folders.pop().iterdir():
            if path.is_dir():
                if not LEFT_OUT.fullmatch(path.name):
                    folders.append(path)
            else:
                yield path


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_what_they_may(package: str) -> None:
    """Each package has its one reason to change: it imports of ours only what the design allows it to."""
    assert modules(package)
    strangers = {
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.partition(".")[0] in (set(ALLOWED) | {"tests"}) - ALLOWED[package] - {package}
    }
    assert not strangers


def room_of(package: str, module: str) -> str:
    """Name the room of a module of a package; empty for one in the package's own folder."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (REPOSITORY / package / parts[1]).is_dir() else ""


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_from_lower_rooms_only(package: str) -> None:
    """Within a package the imports point one way: from a room to those before it in the list."""
    order = {room: place for place, room in enumerate(ROOMS[package])}
    folders = {path.parent.name for path in (REPOSITORY / package).glob("*/__init__.py")}
    assert folders == set(order) - {""}
    upward = set()
    for path in modules(package):
        if path.name == "score_chunk.py":
            continue  # the former name of a program, for jobs that an earlier release queued
        importer = path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".")
        for name in imports(path):
            if name.partition(".")[0] != package or name == package:
                continue
            if order[room_of(package, name)] > order[room_of(package, importer)]:
                upward.add(f"{importer} imports {name}")
    assert not upward


def test_no_modules_import_each_other() -> None:
    """Imports at the top of modules form no circle, so that each module can be imported first."""
    needs: dict[str, set[str]] = {}
    for package in ALLOWED:
        for path in modules(package):
            name = path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
            needs[name] = {
                f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else node.module
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.ImportFrom) and node.module
                for alias in node.names
            }
    TopologicalSorter({name: found & needs.keys() for name, found in needs.items()}).prepare()  # or CycleError


def is_module(name: str) -> bool:
    """Tell whether a dotted name is one of our modules."""
    return (REPOSITORY / name.replace(".", "/")).with_suffix(".py").exists()


def test_every_package_is_known() -> None:
    """A new package at the top level has to be given its place here, and each with its rooms in the distribution."""
    import tomllib

    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    found = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert found == set(ALLOWED)
    rooms = {
        path.parent.relative_to(REPOSITORY).as_posix().replace("/", ".")
        for package in ALLOWED
        for path in (REPOSITORY / package).rglob("__init__.py")
    }
    assert rooms == set(settings["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("name", ["htcondor2", "classad2", "htcondor", "classad"])
def test_htcondor_is_spoken_to_in_one_place(name: str) -> None:
    """Only `dag_specs/scheduler.py` imports HTCondor's bindings: everything else runs without a pool."""
    users = {
        path.relative_to(REPOSITORY).as_posix()
        for package in ALLOWED
        for path in modules(package)
        if any(imported.partition(".")[0] == name for imported in imports(path))
    }
    assert users <= {"dag_specs/scheduler.py"}


@pytest.mark.parametrize("package", ["scoring", "inbox_watcher", "dag_specs"])
def test_scoring_never_needs_what_trains(package: str) -> None:
    """What runs on execute nodes and in the daemon imports nothing that only training needs."""
    heavy = {"sklearn", "skl2onnx", "scipy", "pandas", "pickle", "joblib"}
    users = {
        f"{path.name} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.partition(".")[0] in heavy
    }
    assert not users


def test_pickles_are_opened_in_one_place() -> None:
    """Only `training/learners/learnt.py`, which opens by its hash what its own run wrote, can load a pickle at all."""
    users = {
        path.relative_to(REPOSITORY).as_posix()
        for package in ALLOWED
        for path in modules(package)
        if {name.partition(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
        or "allow_pickle=True" in path.read_text()
    }
    assert users == {"training/learners/learnt.py"}


def test_onnxruntime_is_imported_where_its_telemetry_is_off() -> None:
    """Only `scoring`, whose `__init__` turns telemetry off, imports onnxruntime; a bare benchmark does so itself."""
    switch = 'os.environ["ORT_DISABLE_TELEMETRY"] = "1"'
    users = [
        path.relative_to(REPOSITORY)
        for top in [*ALLOWED, "benchmarks"]
        for path in modules(top)
        if any(name.partition(".")[0] == "onnxruntime" for name in imports(path))
    ]
    assert Path("scoring/models/model.py") in users
    assert switch in (REPOSITORY / "scoring" / "__init__.py").read_text().splitlines()
    for user in users:
        before, _, _ = (REPOSITORY / user).read_text().partition("import onnxruntime")
        assert user.parts[0] == "scoring" or switch in before, user


def test_modules_are_called_by_what_is_inside() -> None:
    """No module is called utils, helpers, manager, common or base."""
    every = [path for top in [*ALLOWED, "tests", "benchmarks"] for path in (REPOSITORY / top).rglob("*.py")]
    vague = {
        str(path.relative_to(REPOSITORY))
        for path in every
        if NO_NAMES & {*path.stem.split("_"), *path.relative_to(REPOSITORY).parent.parts}
    }
    assert not vague


def test_nothing_is_fetched_from_a_named_place() -> None:
    """No code, configuration or lock file holds an address: where packages come from is the machine's own affair."""
    this = Path(__file__)
    found = {
        f"{path.relative_to(REPOSITORY)}: {line.strip()[:100]}"
        for path in written_files()
        if (path.suffix in CODE or path.name in BARE) and path != this
        for line in path.read_text(encoding="utf-8").splitlines()
        if ADDRESS.search(line) or (REGISTRIES.search(line) and "--no-emit" not in line)
    }
    assert not found


def test_the_lock_holds_names_versions_and_hashes_only() -> None:
    """Every line of the lock is a pinned name, a hash or a comment, and every package has a hash."""
    pinned = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^\s;]+( ;[^\\]+)? \\")
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    lines = (REPOSITORY / "requirements" / "lock.txt").read_text().splitlines()
    assert not [line for line in lines if not (pinned.fullmatch(line) or hashed.fullmatch(line) or _is_comment(line))]
    packages = [at for at, line in enumerate(lines) if pinned.fullmatch(line)]
    assert packages
    assert all(hashed.fullmatch(lines[at + 1]) for at in packages)


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")
