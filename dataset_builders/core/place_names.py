"""Names of files and folders for readers elsewhere, whom the folders of this machine do not concern."""

from pathlib import PurePosixPath, PureWindowsPath


def place_name(text: str) -> str:
    """The name of a file, folder or repo without the folders of this machine.

    Args:
        text: A Hub id, a name, or a path.

    Returns:
        The last part of a path that is absolute, begins at a home folder or leads upwards; any other text as it is.
    """
    path = PureWindowsPath(text) if PureWindowsPath(text).is_absolute() else PurePosixPath(text)
    leads_elsewhere = path.is_absolute() or ".." in path.parts or text.startswith("~")
    return path.name if leads_elsewhere and path.name else text
