#!/usr/bin/env python3
"""Checks that no crate has a large cycle of imports between its files.

usage: structure.py [--cycles]

For each crate of the workspace, prints the number of files, the lines of code and of tests, and the size of the largest
import cycle: a set of files of which each imports, directly or indirectly, each other one. Fails if a cycle has more
than 5 files. --cycles lists the files of all cycles.

An import is a path that begins with `crate`, `super` or `self`, or a `use` declaration that begins with a child module.
A parent that only calls its children, such as a router, does not import them. Test modules are not considered.
"""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_CYCLE = 5

COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\bb?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|[^'\\\n])'""",
    re.DOTALL,
)
INLINE_MODULE = re.compile(r"(?P<test>#\[cfg\(test\)\]\s*)?(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?\bmod\s+(?P<name>\w+)\s*\{")
TEST_MODULE_FILE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;")
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:\s*::\s*\w+)+")


def members():
    """The crates of the workspace: (name, directory)."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]
    for pattern in workspace["members"]:
        for manifest in sorted(ROOT.glob(f"{pattern}/Cargo.toml")):
            yield tomllib.loads(manifest.read_text(encoding="utf-8"))["package"]["name"], manifest.parent


def without_comments(text):
    """The text without comments and literals."""
    return COMMENT_OR_LITERAL.sub(" ", text)


def module_path(relative):
    """The path of the module that a file contains, such as ("chain", "model")."""
    parts = list(relative.with_suffix("").parts)
    if parts[-1] == "mod" or parts in (["lib"], ["main"]):
        parts.pop()
    return tuple(parts)


def source_files(crate):
    """The modules of a crate: path → file. Binaries beside a library are crates of their own and contain one file."""
    source = crate / "src"
    has_library = (source / "lib.rs").exists()
    files = {}
    for file in sorted(source.rglob("*.rs")):
        relative = file.relative_to(source)
        if relative.parts[0] == "bin" or (has_library and relative.parts == ("main.rs",)):
            continue
        files[module_path(relative)] = file
    return files


def is_below(path, prefixes):
    return any(path[:length] in prefixes for length in range(1, len(path) + 1))


def modules_of(text, path):
    """Splits a file into its inline modules, without those for tests: (path of the module, its text)."""
    rest = []
    position = 0
    while match := INLINE_MODULE.search(text, position):
        rest.append(text[position : match.start()])
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if not match["test"]:
            yield from modules_of(text[match.end() : end - 1], (*path, match["name"]))
        position = end
    rest.append(text[position:])
    yield path, "".join(rest)


def expand(tree):
    """The paths of a `use` declaration: `a::{b, c::d}` → (a, b), (a, c, d)."""
    tree = tree.strip()
    match = re.fullmatch(r"([\w:\s]*?)(?:::)?\s*\{(.*)\}", tree, re.DOTALL)
    if not match:
        name = re.sub(r"\s+as\s+\w+$", "", tree)
        yield tuple(part.strip() for part in name.split("::") if part.strip())
        return
    prefix = tuple(part.strip() for part in match[1].split("::") if part.strip())
    depth, start, inner = 0, 0, match[2]
    for index, character in enumerate([*inner, ","]):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if inner[start:index].strip():
                yield from (prefix + path for path in expand(inner[start:index]))
            start = index + 1


def imports(text):
    """Every path of a module that may lead to another file."""
    for tree in USE.findall(text):
        yield from expand(tree)
    for path in PATH.findall(USE.sub(" ", text)):
        yield tuple(part.strip() for part in path.split("::"))


def resolve(path, module, files):
    """The module with a file that a path leads to, or None if it leads to another crate."""
    if path[0] == "crate":
        target = path[1:]
    elif path[0] in ("self", "super"):
        base = list(module)
        while path and path[0] in ("self", "super"):
            if path[0] == "super" and base:
                base.pop()
            path = path[1:]
        target = (*base, *path)
    elif (*module, path[0]) in files:
        target = (*module, *path)
    else:
        return None
    while target not in files:
        if not target:
            return None
        target = target[:-1]
    return target


def import_graph(crate):
    """Module → modules that it imports, of the modules with files; test modules are left out."""
    files = source_files(crate)
    texts = {path: without_comments(file.read_text(encoding="utf-8")) for path, file in files.items()}
    tests = {(*path, name) for path, text in texts.items() for name in TEST_MODULE_FILE.findall(text)}
    files = {path: file for path, file in files.items() if not is_below(path, tests)}
    graph = {path: set() for path in files}
    for path in files:
        for module, text in modules_of(texts[path], path):
            targets = (resolve(imported, module, files) for imported in imports(text) if imported)
            graph[path].update(target for target in targets if target is not None and target != path)
    return graph


def cycles(graph):
    """The strongly connected components with more than one node (Tarjan's algorithm), largest first."""
    order, lowest, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for target in graph[node]:
            if target not in order:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], order[target])
        if lowest[node] == order[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in order:
            visit(node)
    return sorted(found, key=len, reverse=True)


def lines(crate):
    """Lines of code and lines of tests of a crate, without blank lines and comments."""
    code = tests = 0
    for file in crate.rglob("*.rs"):
        text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        # Test modules stand at the end of their file.
        before, _, after = text.partition("#[cfg(test)]\nmod tests {")
        parts = file.relative_to(crate).parts
        if parts[0] != "src" or file.stem == "tests" or "tests" in parts:
            before, after = "", text
        code += count_lines(before)
        tests += count_lines(after)
    return code, tests


def count_lines(text):
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("//"))


def main():
    faults = []
    row = "{:<22} {:>6} {:>9} {:>9} {:>14}".format
    print(row("crate", "files", "code", "tests", "largest cycle"))
    for name, crate in sorted(members()):
        graph = import_graph(crate)
        found = cycles(graph)
        largest = len(found[0]) if found else 0
        code, tests = lines(crate)
        print(row(name, len(graph), code, tests, largest))
        for cycle in found:
            files = ", ".join("::".join(path) or "the root" for path in cycle)
            if len(cycle) > MAX_CYCLE:
                faults.append(f"{name}: an import cycle of {len(cycle)} files: {files}")
            elif "--cycles" in sys.argv[1:]:
                print(f"    {files}")
    if faults:
        print(f"\nNo import cycle may have more than {MAX_CYCLE} files. Move what the others need into a file below them.")
        print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
