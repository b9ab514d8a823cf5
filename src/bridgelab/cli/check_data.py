"""`bridgelab check-data`: say what a benchmark's data hold and what is wrong with them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgelab.cli.arguments import Parser, UsageError, folder
from bridgelab.printable import printable

if TYPE_CHECKING:
    from bridgelab.data.data_check import DataCheck, SplitKind

LISTED = 5  # answers, tags and sizes in a line


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab check-data",
        description="Read a benchmark's data, all images included. Say what they hold and what is wrong, and draw six examples.",
    )
    parser.add_argument(
        "named", nargs="+", metavar="FOLDER | key=value",
        help="a folder of your own data (as benchmark=own benchmark.root=FOLDER), and overrides as for training: benchmark=gqa",
    )  # fmt: skip
    parser.add_argument(
        "--picture", type=Path, metavar="FILE",
        help="where to draw examples (<name>_examples.png in the current folder)",
    )  # fmt: skip
    options = parser.parse_intermixed_args(args)
    roots = [one for one in options.named if "=" not in one or Path(one).is_dir()]
    choices = [one for one in options.named if one not in roots]
    if len(roots) > 1:
        raise UsageError(f"{' and '.join(roots)}: one folder is checked at a time. Give one.")
    if roots:
        folder(Path(roots[0]))
        if not any(one.startswith("benchmark=") for one in choices):
            choices.insert(0, "benchmark=own")
    from bridgelab.cli.hydra_app import composed

    config = composed(choices)
    if roots:
        config.benchmark.root = str(Path(roots[0]).resolve())
    from bridgelab.data.data_check import check_data
    from bridgelab.data.datamodule import build_benchmark

    benchmark = build_benchmark(config)
    found = check_data(benchmark)
    print("\n".join(map(printable, _lines(found, benchmark))))
    if found.examples:
        picture = options.picture or Path(f"{found.name}_examples.png")
        _draw(found, picture)
        print(f"examples    {picture}")
    for remark in (*found.remarks, *_unknown_words(found, config)):
        print(printable(f"note        {remark}."))
    for problem in found.problems:
        print(printable(f"wrong       {problem}"))
    if number := len(found.problems):
        raise UsageError(
            f"{number} {'thing is' if number == 1 else 'things are'} wrong, as said above. Correct and check again."
        )
    print("nothing is wrong. Next: bridgelab doctor, then bridgelab train, with the same benchmark.")


def _lines(found: "DataCheck", benchmark: Any) -> Iterator[str]:
    rule = getattr(benchmark, "split_rule", None) if found.parts else None
    yield f"benchmark   {found.name}, {type(benchmark).__name__}"
    if found.parts:
        splits = ", ".join(dict.fromkeys(part.split for part in found.parts))
        yield f"splits      {splits}" + (f": {rule}" if rule else "")
    for part in found.parts:
        yield f"{part.split:11} {part.examples:,} of kind {part.kind} about {part.images:,} images"
        yield from (f"            {line}" for line in _details(part))
    total = sum(found.sizes.values())
    if total:
        sizes = {f"{width} × {height}": number for (height, width), number in found.sizes.items()}
        yield f"images      {total:,}, width × height in pixels: {_listed(sizes, total)}"


def _details(part: "SplitKind") -> Iterator[str]:
    least, middle, most = part.words
    yield f"words of a prompt: {least}" + (f" to {most}, median {middle:g}" if most > least else "")
    if part.kind != "caption":
        yield f"answers: {len(part.answers):,} different: {_listed(part.answers, part.examples)}"
    for name, values in part.tags.items():
        yield f"{name}: {_listed(values, part.examples)}"
    if part.floor is not None and part.split == "test":
        yield f"majority floor: {100 * part.floor:.1f} % by the most frequent training answer of each type"


def _listed(counts: Mapping[str, int], total: int) -> str:
    if len(counts) == 1 and total in counts.values():
        return f"all {next(iter(counts))}"
    first = list(counts.items())[:LISTED]
    shown = [f"{name} {100 * number / total:.0f} %" for name, number in first]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more" if more else "")


def _draw(found: "DataCheck", picture: Path) -> None:
    import warnings

    from bridgelab.report.example_sheet import chosen_examples, draw_examples

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # of a script that the font lacks, drawn as boxes
            draw_examples(chosen_examples(found.examples)).savefig(picture, dpi=150, format="png")
    except OSError as error:
        raise UsageError(
            f"--picture {picture} can't be written ({error.strerror}). Name another file."
        ) from error


def _unknown_words(found: "DataCheck", config: Any) -> Iterator[str]:
    """Yield a remark on words that the language model of the config does not know, if its tokenizer is here."""
    if not found.examples:
        return
    from bridgelab.data.batches import unknown_answers
    from bridgelab.doctor.random_models import tokenizer

    text = tokenizer(config.text.path)
    if text is None:
        return
    examples = [e for (split, _), own in found.examples.items() if split == "train" for e in own]
    number, words = unknown_answers(examples, text)
    if number:
        yield (
            f"{number:,} of {len(examples):,} training answers hold words that the T5 of text.path={config.text.path} does not know, and "
            f"can't be learned: {', '.join(words[:LISTED])}{', …' * (len(words) > LISTED)}. Choose another, such as text=flan_t5_small"
        )
    asked = {word for e in examples for word in e.prompt.split()}
    if strange := text.unknown(sorted(asked)):
        shown = ", ".join(strange[:LISTED]) + ", …" * (len(strange) > LISTED)
        yield f"{len(strange):,} of {len(asked):,} different words of training prompts are unknown to that T5, and read as one: {shown}"
