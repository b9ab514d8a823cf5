"""`bridgelab bridges`: list the bridges, with their sizes and sources."""

from bridgelab.cli.arguments import Parser


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    Parser(
        "bridgelab bridges",
        description="List the bridges as a Markdown table, with their sizes for the miniature models and their sources.",
    ).parse_args(args)
    from bridgelab.evaluation.bridge_table import table

    print(table())
