"""The rooms of the package: what each may import, and what stands at its top.

Imports are read from the source, late ones and those for types included. `docs/architecture.md`
shows `CORE`, `ROOMS` and `INSIDE` as tables; `python docs/make_tables.py` writes them.
"""

import ast
import functools
import graphlib
import itertools
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

PACKAGE = "beam_batch_predict"
ROOT = pathlib.Path(__file__).parent.parent / PACKAGE

TOP = "__init__ __main__ batch cancellation collector errors messages retries status"

CORE = {
    "status": "",
    "messages": "",
    "errors": "status messages",
    "retries": "errors status",
    "cancellation": "errors status",
    "collector": "",
}
"""Modules that every room may import, and what they may import themselves."""

ROOMS = {
    "gcp": "",
    "files": "gcp",
    "spec": "gcp",
    "encoding": "spec",
    "batch": "encoding gcp spec",
    "registry": "files gcp",
    "jobs": "registry spec",
    "sources": "batch encoding files gcp spec",
    "instances": "batch encoding spec",
    "models": "batch encoding files spec",
    "sinks": "batch encoding files gcp spec",
    "runs": "batch files instances sinks sources spec",
    "runners": "files spec",
    "transforms": (
        "batch encoding files gcp instances jobs models registry runners runs sinks sources spec"
    ),
    "commands": (
        "batch encoding files gcp instances jobs models registry runners runs sinks sources spec "
        "transforms"
    ),
    "cli": "commands files jobs registry runners spec",
}
"""What each room may import beside the core, from the ground up."""

INSIDE = {
    "jobs": {
        "json_tree": "",
        "scalars": "",
        "resource": "json_tree scalars",
        "rules": "resource",
        "job_resource": "json_tree resource",
        "ai_platform": "job_resource json_tree resource rules scalars",
        "vertex": "job_resource json_tree resource rules scalars",
        "reading": "ai_platform job_resource json_tree resource rules scalars vertex",
    },
    "models": {
        "signature": "",
        "inputs": "signature",
        "model": "inputs signature",
        "calls": "inputs model signature",
        "saved_model": "calls inputs model signature",
        "predict": "calls inputs model signature",
    },
    "sinks": {
        "naming": "",
        "columns": "naming",
        "formats": "columns naming",
        "error_summary": "columns formats naming",
        "parts": "columns error_summary formats naming",
        "publish": "columns error_summary formats naming parts",
    },
}
"""The same for the folders and modules of a room that has an order of its own."""

RE_EXPORTING = "cli files jobs spec"
"""Folders whose `__init__` offers names of their modules; the others have a docstring only."""

BEAM = "files runners transforms"
TENSORFLOW = "encoding.tf_examples models"
"""Where each may be imported; TensorFlow, which takes seconds, only inside functions."""

DOTTED = re.compile(rf"{PACKAGE}(\.[a-z_]+)+")
NO_MODULES = {f"{PACKAGE}.saved_model"}  # of Protocol Buffers, in models/saved_model/proto.py

OF_TENSORFLOW = ("tensorflow", "tensorflow_metadata", "tfx_bsl")

MOST_LINES, MOST_LINES_OF_FUNCTION, MOST_COLUMNS_OF_SUMMARY = 400, 60, 80


class Import(NamedTuple):
    """A name that a module imports: from which module, and where.

    Attributes:
        importer: the module that imports, without the name of the package.
        place: file and line.
        module: what is imported or has the name; without the package's name if it is ours.
        name: the name that is imported; empty where it is the module itself.
        ours: whether the module is one of the package.
        late: whether a function imports it.
    """

    importer: str
    place: str
    module: str
    name: str
    ours: bool
    late: bool


@functools.cache
def modules():
    """The file and the tree of each module, by its name without the package's."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)
        found[name] = file, ast.parse(file.read_text())
    return found


@functools.cache
def imports():
    """Every import of the package, traced to the module that defines the name."""
    return [traced(found) for name in modules() for found in imports_of(name)]


def imports_of(importer):
    """The imports that a module writes, as it writes them."""
    file, tree = modules()[importer]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    late = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{place(file, node)}: relative import; name the whole module"
            pairs = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            pairs = [(alias.name, "") for alias in node.names]
        else:
            continue
        for module, name in pairs:
            top, _, rest = module.partition(".")
            ours = top == PACKAGE
            inner = (rest or "__init__") if ours else module
            yield Import(importer, place(file, node), inner, name, ours, id(node) in late)


def traced(found):
    """The same import, of the module itself that is imported or defines the name."""
    if not found.ours or not found.name:
        return found
    submodule = f"{found.module}.{found.name}".removeprefix("__init__.")
    if submodule in modules():
        return found._replace(module=submodule, name="")
    if found.module in RE_EXPORTING.split():
        for each in imports_of(found.module):
            if each.ours and each.name == found.name and not each.late:
                return traced(found._replace(module=each.module))
    return found


def place(file, node):
    return f"{file.relative_to(ROOT.parent)}:{getattr(node, 'lineno', node)}"


def is_in(module, rooms):
    return any(f"{module}.".startswith(f"{room}.") for room in rooms.split())


def room_of(module):
    return module.partition(".")[0]


def expect_none(problems):
    problems = sorted(set(problems))
    assert not problems, "\n".join(["", *problems])


def test_the_top_of_the_package_has_its_files_and_rooms_and_no_other():
    files = {file.stem for file in ROOT.glob("*.py")}
    expect_same(files, TOP.split(), "put the module in a room, or change TOP and say why")
    rooms = {room_of(name) for name in modules()} - files
    expect_same(rooms, set(ROOMS) - files, "a room needs its row in ROOMS, and a row its room")


def expect_same(found, listed, what_to_do):
    """Fail with the files and folders that are there or listed, and not both."""
    differing = sorted(set(found) ^ set(listed))
    expect_none(f"{PACKAGE}/{name}: only found, or only listed: {what_to_do}" for name in differing)


@pytest.mark.parametrize("table", [CORE, ROOMS, *INSIDE.values()], ids=["core", "rooms", *INSIDE])
def test_tables_go_from_the_ground_up(table):
    above = set(table)
    for name, allowed in table.items():
        above.remove(name)
        wrong = {room for room in allowed.split() if room in above | {name} or room not in table}
        assert not wrong, f"the row of {name} allows {wrong}, which are not in rows before it"


def test_each_room_imports_what_its_row_allows():
    expect_none(
        f"{each.place}: {room_of(each.importer)} imports {each.module}; the row of "
        f"{room_of(each.importer)} in ROOMS or CORE does not allow that: move the code to the room "
        "that may, or hand the value in"
        for each in imports()
        if each.ours
        and each.name != "__version__"
        and not is_allowed(room_of(each.importer), room_of(each.module))
    )


def is_allowed(importer, imported):
    if importer in ("__init__", "__main__", imported):
        return True
    if importer in CORE:
        return imported in CORE[importer].split()
    return imported in CORE or imported in ROOMS[importer].split()


@pytest.mark.parametrize("room", INSIDE)
def test_rooms_with_an_order_inside_keep_to_it(room):
    inside = {name.split(".")[1] for name in modules() if name.startswith(f"{room}.")}
    expect_same(
        {f"{room}/{name}" for name in inside},
        {f"{room}/{name}" for name in INSIDE[room]},
        f"a module or folder needs its row in INSIDE[{room!r}], and a row its module",
    )
    expect_none(
        f"{each.place}: {room}/{above} imports {each.module}; its row in INSIDE does not allow "
        "that: move the code down, or hand the value in"
        for each in imports()
        if each.ours and each.importer.startswith(f"{room}.") and room_of(each.module) == room
        for above, below in [(each.importer.split(".")[1], f"{each.module}.".split(".")[1])]
        if above != below and below not in INSIDE[room][above].split()
    )


def test_no_files_import_each_other_in_a_circle():
    graph = {name: set() for name in modules()}
    for each in imports():
        if each.ours and each.importer != "__init__":
            graph[each.importer].add(each.module)
    circle = circle_in(graph)
    places = {(each.importer, each.module): each.place for each in imports()}
    expect_none(
        f"{places[importer, module]}: imports {module}, which leads back here: move what both need "
        "to a module below"
        for module, importer in itertools.pairwise(circle)
    )


def circle_in(graph):
    """A circle, each member imported by the next; empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_init_files_only_re_export():
    problems = []
    for name, (file, tree) in modules().items():
        if file.name != "__init__.py" or name == "__init__":
            continue
        may = name in RE_EXPORTING.split()
        for node in tree.body[1:]:
            if not (may and is_re_export(node, name)):
                problems.append(
                    f"{place(file, node)}: this __init__ may have "
                    + ("re-exports of its folder" if may else "a docstring only")
                    + "; put the code in a module, and import it from there"
                )
    expect_none(problems)


def is_re_export(node, folder):
    if isinstance(node, ast.ImportFrom):
        return is_in(node.module, f"{PACKAGE}.{folder}")
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def test_modules_offer_only_what_they_define():
    expect_none(
        f"{place(file, node)}: {name} is defined elsewhere: import it from there, and leave it out"
        for file, tree in modules().values()
        if file.name != "__init__.py"
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.literal_eval(node.value)
        if name not in defined(tree)
    )


def defined(tree):
    """The names that the statements of a module bind, other than by imports."""
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                name.id for each in targets for name in ast.walk(each) if isinstance(name, ast.Name)
            }
    return found


def test_private_names_stay_in_their_module():
    problems = []
    for each in imports():
        if each.ours and is_private(each.name or each.module.rpartition(".")[2]):
            problems.append((each.place, each.name))
    for name, (file, tree) in modules().items():
        aliases = {each.module.rpartition(".")[2] for each in imports() if is_alias(each, name)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in aliases
                and is_private(node.attr)
            ):
                problems.append((place(file, node), node.attr))
    expect_none(
        f"{where}: {name} is private to another module: make it public there, or move the code"
        for where, name in problems
    )


def test_modules_named_in_strings_are_there():
    names = {f"{PACKAGE}.{name}" for name in modules()} | {PACKAGE}
    expect_none(
        f"{place(file, node)}: there is no module {node.value}: has it moved?"
        for file, tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and DOTTED.fullmatch(str(node.value))
        if node.value not in names | NO_MODULES
    )


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def is_alias(each, importer):
    """Whether an import binds a module of the package to its own name."""
    return each.importer == importer and each.ours and not each.name


@pytest.mark.parametrize(
    ("libraries", "rooms", "always_late"),
    [(("apache_beam",), BEAM, False), (OF_TENSORFLOW, TENSORFLOW, True)],
    ids=["Beam", "TensorFlow"],
)
def test_heavy_libraries_are_imported_where_they_are_needed(libraries, rooms, always_late):
    of_them = [each for each in imports() if room_of(each.module) in libraries and not each.ours]
    assert of_them
    expect_none(
        f"{each.place}: imports {each.module} outside {rooms}: move the code there"
        for each in of_them
        if not is_in(each.importer, rooms)
    )
    expect_none(
        f"{each.place}: imports {each.module} at the top; import it in the function that needs it"
        for each in of_them
        if always_late and not each.late
    )


@pytest.mark.parametrize(
    "code",
    [
        f"import {PACKAGE}, {PACKAGE}.jobs, {PACKAGE}.cli.app",
        f"from {PACKAGE}.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass",
    ],
    ids=["import", "--help"],
)
def test_answering_help_needs_neither_beam_nor_tensorflow_nor_google_cloud(code):
    # The interpreter has imported some by itself, for .pth files of packages.
    code = f"import sys; first = set(sys.modules)\n{code}\n"
    code += "print('modules:', *(name for name in sys.modules if name not in first))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.rpartition("modules:")[2].split()
    assert f"{PACKAGE}.cli.app" in loaded
    libraries = " ".join(["apache_beam google.api_core google.auth google.cloud", *OF_TENSORFLOW])
    expect_none(
        f"{name} is imported: python -X importtime -c '…' shows by whom; import it late there"
        for name in loaded
        if is_in(name, libraries)
    )


def test_files_and_functions_are_short():
    problems = []
    for file, tree in modules().values():
        lines = len(file.read_text().splitlines())
        if lines > MOST_LINES:
            problems.append(f"{place(file, lines)}: more than {MOST_LINES} lines: cut it in two")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.lineno + 1
                if length > MOST_LINES_OF_FUNCTION:
                    problems.append(
                        f"{place(file, node)}: {node.name} has {length} lines, more than "
                        f"{MOST_LINES_OF_FUNCTION}: give its steps functions of their own"
                    )
    expect_none(problems)


def test_names_of_modules_say_what_they_hold():
    expect_none(
        f"{file.relative_to(ROOT.parent)}: call it after what it holds"
        for name, (file, _) in modules().items()
        for last in [name.rpartition(".")[2]]
        if "utils" in last or "helpers" in last or last == "common"
    )


def test_every_file_says_in_its_first_line_what_it_holds():
    problems = []
    for file, tree in modules().values():
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        if not summary.endswith("."):
            problems.append(f"{place(file, 1)}: begin with a docstring of one whole sentence")
        elif len(summary) > MOST_COLUMNS_OF_SUMMARY:
            problems.append(
                f"{place(file, 1)}: the first line of the docstring has {len(summary)} characters, "
                f"more than {MOST_COLUMNS_OF_SUMMARY}: say it shorter"
            )
    expect_none(problems)
