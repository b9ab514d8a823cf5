"""The console that all commands print to. Free of torch."""

from rich.console import Console

COLUMNS = 160  # where the output is no terminal; rich's 80 would fold the numbers of a table


def get_console() -> Console:
    """Return a console on standard output: as wide as the terminal, or `COLUMNS` wide in a pipe or a log."""
    console = Console(highlight=False)
    return console if shows_view(console) else Console(highlight=False, width=COLUMNS)


def shows_view(console: Console) -> bool:
    """Return whether a console can show a live view: no dumb terminal can, and no file, also if FORCE_COLOR asks for colours."""
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
