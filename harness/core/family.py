"""The record of a model family: the names and files by which a potential of it is found, and what it needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A family of potentials.

    Attributes:
        name: Of the family; what `family` says in the config.json of a checkpoint of ours.
        module: The adapter, which has `load(source, options) -> Potential`; `source` is one of `methods`,
            or the path of a checkpoint.
        package: What the adapter imports and cannot do without.
        extra: The extra that installs the package, where a plain installation lacks it.
        methods: Names that need no checkpoint.
        files: Glob patterns of file names; a file that matches one is a checkpoint by itself.
        folder: Glob patterns of file names; files of one folder that match all of them are a checkpoint, and
            the adapter is given the folder.
        in_config: Whether such a folder is of our own format, whose config.json names the family; its files
            alone do not tell, since other projects name theirs alike.
        is_open: Whether any path, and any name without one, may stand for a model of it, as where a function of
            the user's makes it; it is never told by files.
        is_pickled: Whether its checkpoints are pickles, which run what they hold when they are loaded.
        library_names: What `library_name` says in the card of a repo that holds such a checkpoint.
        tags: Tags of such a card.
        can_compile: Whether its adapter does what `LoadOptions.compile` asks for.
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

    @property
    def needs(self) -> str:
        """What a checkpoint of it consists of, in words; empty where it has none."""
        return " or ".join(([" + ".join(self.folder)] if self.folder else []) + list(self.files))
