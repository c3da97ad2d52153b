"""Files that two environments have in common, stored once.

PyTorch, SciPy and PyArrow are most of the size of an environment, and are those of the harness's own environment.
"""

import filecmp
import os
from importlib.util import cache_from_source
from pathlib import Path


def link_identical_files(packages: Path, source: Path) -> int:
    """Replaces files of one folder of packages by hard links to equal files of another.

    A file is replaced if the other folder has one with the same path and the same bytes. The compiled module of a
    replaced module is linked too, since Python compares it with the time stamp of its source. Installers replace files
    and do not write into them, so that a later upgrade of one environment leaves the other as it is.

    Args:
        packages: Folder whose files are replaced, such as `site-packages` of a new environment.
        source: Folder of the same interpreter version with the files to link to.

    Returns:
        Number of bytes that the links save: 0 where the file system cannot link, and then all files stay as they are.
    """
    saved = 0
    for folder, subfolders, names in os.walk(packages):
        # pip rewrites these, and they are small.
        subfolders[:] = [name for name in subfolders if name != "__pycache__" and not name.endswith(".dist-info")]
        for name in names:
            file = Path(folder) / name
            original = source / file.relative_to(packages)
            if not _are_equal_copies(file, original):
                continue
            try:
                _link(original, file)
                _link_compiled(original, file)
            except OSError:  # another file system, one without hard links, or too many links to a file
                return saved
            saved += original.stat().st_size
    return saved


def _link_compiled(original: Path, file: Path) -> None:
    compiled = Path(cache_from_source(original))
    if file.suffix == ".py" and compiled.is_file():
        target = Path(cache_from_source(file))
        target.parent.mkdir(exist_ok=True)
        _link(compiled, target)


def _are_equal_copies(file: Path, original: Path) -> bool:
    if file.is_symlink() or original.is_symlink() or not original.is_file():
        return False
    return not file.samefile(original) and filecmp.cmp(file, original, shallow=False)


def _link(original: Path, file: Path) -> None:
    # A link that is renamed replaces the file at once: no moment without it.
    link = file.with_name(f".{file.name}.link")
    os.link(original, link)
    link.replace(file)
