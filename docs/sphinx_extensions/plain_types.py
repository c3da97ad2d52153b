"""Types in the documentation without the checks that pydantic attaches to them: `str`, not `Annotated[str, ...]`."""

import ast
import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from sphinx.domains.python import PyObject

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_TYPE: Final = re.compile(r"^(:vartype [\w*\\]+: )(.*Annotated\[.*)$")


class _WithoutChecks(ast.NodeTransformer):
    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        # Sphinx writes `~` before names that it shortens.
        inner = self.visit(node.operand)
        return inner if isinstance(node.operand, ast.Subscript) else ast.UnaryOp(node.op, inner)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) in ("Annotated", "typing.Annotated") and isinstance(node.slice, ast.Tuple):
            return self.visit(node.slice.elts[0])
        return self.generic_visit(node)


def plain(text: str) -> str:
    """Python text, each `Annotated[T, ...]` in it replaced by T."""
    return ast.unparse(_WithoutChecks().visit(ast.parse(text)))


def _signature(*of_event: Any) -> tuple[str | None, str | None] | None:
    _app, _what, _name, documented, _options, signature, returned = of_event
    if isinstance(documented, type) and issubclass(documented, BaseModel):
        return "", None  # results are read, not constructed; the fields stand below
    if signature is None or "Annotated[" not in signature:
        return None
    function = plain(f"def f{signature}: ...")
    return function[len("def f") : function.rindex(":")], returned


def _docstring(app: "Sphinx", what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    for number, line in enumerate(lines):
        found = _TYPE.match(line)
        if found:
            lines[number] = found[1] + plain(found[2].replace("\\", ""))


def setup(app: "Sphinx") -> dict[str, bool]:
    """Called by Sphinx."""
    for fields in PyObject.doc_field_types:
        if fields.name == "variable":
            fields.label = "Attributes"
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=900)  # after napoleon, which writes the types
    return {"parallel_read_safe": True, "parallel_write_safe": True}
