"""All single changes that Cosmic Ray makes to a file, without those that leave the program what it was."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

NEED_NAMES = {"core/VariableReplacer", "core/VariableInserter"}  # these ask which variables take part: not used


@dataclass(frozen=True)
class Mutation:
    """One change: `before` and `after` are the lines that differ, `text` is the whole file."""

    file: str
    line: int
    before: str
    after: str
    text: str

    @property
    def name(self) -> str:
        """What a table of survivors knows it by, wherever its line has moved to."""
        return f"{self.before} => {self.after}"


def list_mutations(file: str, operators: Collection[str] = ()) -> Iterator[Mutation]:
    """The changes of a file, by its path from here, by all operators or those whose names end so; each program once."""
    source = Path(file).read_text(encoding="utf-8")
    tree, seen = get_ast(source), {_meaning(source)}
    for name in sorted(set(operator_names()) - NEED_NAMES):
        if operators and not name.endswith(tuple(operators)):
            continue
        operator = get_operator(name)()
        occurrences = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(tree))
        for occurrence in range(occurrences):
            text = mutate_code(source, operator, occurrence)
            meaning = _meaning(text)
            if meaning not in seen:
                seen.add(meaning)
                yield _compare(file, source, text)


def _compare(file: str, source: str, text: str) -> Mutation:
    old, new = source.splitlines(), text.splitlines()
    first = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    last = next(i for i, (a, b) in enumerate(zip(reversed(old), reversed(new), strict=False)) if a != b)
    before, after = ("\n".join(lines[first : len(lines) - last]).strip() for lines in (old, new))
    return Mutation(file, first + 1, before, after, text)


def _meaning(source: str) -> str | None:
    """The program without annotations, which nothing here evaluates; None where it is none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)
