"""The record of a model family: the names and files that identify its potentials, and what it needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A family of potentials.

    Attributes:
        name: Name of the family, as in `family` of the config.json of this project's own checkpoints.
        module: The adapter, which has `load(source, options) -> Potential`; `source` is one of `methods`,
            or the path of a checkpoint.
        package: Package that the adapter imports and requires.
        extra: The extra that installs the package, where a plain installation lacks it.
        methods: Names that need no checkpoint.
        files: Glob patterns of file names; a file that matches one is a complete checkpoint.
        folder: Glob patterns of file names; a folder whose files match all of them is a checkpoint, and
            the adapter receives the folder.
        in_config: Whether such a folder has this project's own format, where config.json names the family;
            file names alone do not suffice, since other projects use the same ones.
        is_open: Whether any path or name may denote a model of this family, for example when a user's
            function makes the model; such a family is never detected from files.
        is_pickled: Whether its checkpoints are pickles, which can run code when they are loaded.
        library_names: Values of `library_name` in the model card of a repo with such a checkpoint.
        tags: Tags of such a model card.
        can_compile: Whether its adapter supports `LoadOptions.compile`.
        environment_of: The family whose environment it shares; `None` for one under its own name, if there is one.
    """

    name: str
    module: str
    package: str
    extra: str | None = None
    methods: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    in_config: bool = False
    is_open: bool = False
    is_pickled: bool = False
    library_names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    can_compile: bool = False
    environment_of: str | None = None

    @property
    def environment(self) -> str:
        """Name of its environment, which most families do without."""
        return self.environment_of or self.name

    @property
    def needs(self) -> str:
        """Files that make up a checkpoint of this family, in words; empty if it has no checkpoints."""
        return " or ".join(([" + ".join(self.folder)] if self.folder else []) + list(self.files))
