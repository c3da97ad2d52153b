"""Measures machine-learning interatomic potentials on seen molecules and on unseen combinations.

    from harness import calculator, compare, evaluate, load_potential, open_dataset

Nothing is imported before it is used, so `import harness` is quick; docs/python.md shows what each of these does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api import calculator as calculator
    from harness.api import compare as compare
    from harness.api import evaluate as evaluate
    from harness.api import load_potential as load_potential
    from harness.api import open_dataset as open_dataset

    __version__: str

__all__ = ["__version__", "calculator", "compare", "evaluate", "load_potential", "open_dataset"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("mlip-ood")
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("harness.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
