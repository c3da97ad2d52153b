"""Tables that a command writes into a page of docs, between `<!-- name -->` and `<!-- end -->`."""

import re


def with_table(text: str, name: str, table: str) -> str:
    """The page with a new table at its mark.

    Args:
        text: The page.
        name: Name of the mark.
        table: The table, in Markdown, without a line ending at its end.
    """
    marked = f"<!-- {name} -->\n{table}\n<!-- end -->"
    return re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _: marked, text, flags=re.DOTALL)
