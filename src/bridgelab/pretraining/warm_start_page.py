"""The page of the warm starts, from the cards beside their weights."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bridgelab.bridge.warm_starts import WarmStartCard, read_cards
from bridgelab.report.formats.markdown import render_markdown
from bridgelab.statistics.convergence import convergence_from_records
from bridgelab.statistics.outcome import DELTA

TEMPLATES = Path(__file__).with_name("templates")


def write_page(out: Path) -> None:
    """Write `README.md` in a folder of warm starts from their cards."""
    texts = [_text(folder) for folder in sorted(out.iterdir()) if any(folder.glob("*.json"))]
    size = sum(path.stat().st_size for path in out.rglob("*.safetensors"))
    page = render_markdown(TEMPLATES / "warm_starts.md.jinja", texts=texts, megabytes=f"{size / 1e6:.1f}")
    (out / "README.md").write_text(page)


def _text(folder: Path) -> dict[str, Any]:
    """Return what the template prints of the warm starts for one language model."""
    found = read_cards(folder)
    cards = sorted(found.values(), key=lambda card: (card.bridge, card.tokens, card.seed))
    sizes = {
        (card.bridge, card.tokens): path.with_suffix(".safetensors").stat().st_size
        for path, card in found.items()
    }
    first = next((card for card in cards if "vision" in card.fingerprints), cards[0])
    budgets = sorted({int(budget["steps"]) for card in cards for budget in card.record["budgets"]})
    mixture = first.record.get("mixture") or {}
    delta = float((first.record.get("verdict") or {}).get("delta", DELTA))
    images = first.groups["benchmark"].get("images")  # of the built-in world; elsewhere a folder, or nothing
    rows = [list(group) for _, group in groupby(cards, lambda card: (card.bridge, card.tokens))]
    return {
        "name": folder.name,
        "fingerprints": {"vision": "none"} | first.fingerprints,
        "record": first.record,
        "studies": list(
            dict.fromkeys((card.record["study"], (card.record.get("git_sha") or "")[:7]) for card in cards)
        ),
        "batch_size": first.recipe["train"]["batch_size"],
        "images": images.get("train") if isinstance(images, dict) else None,
        "mixture": ", ".join(
            f"{100 * number / sum(mixture.values()):.0f} % {pool.replace('_', ' ')}s"
            for pool, number in mixture.items()
        ),
        "seeds": sorted({card.seed for card in cards}),
        "delta": f"{100 * delta:g}",
        "budgets": budgets,
        "rows": [_row(row, budgets, delta, sizes[row[0].bridge, row[0].tokens]) for row in rows],
    }


def _row(cards: Sequence[WarmStartCard], budgets: Sequence[int], delta: float, size: int) -> dict[str, Any]:
    """Return a line of the table: the warm starts of one bridge."""
    records = [card.record for card in cards]
    convergence = convergence_from_records(records, delta)
    gain = "–"
    if len(convergence.gains) > 1:
        shown = "converged" if convergence.is_shown else "not shown to have converged"
        gain = f"{100 * convergence.gain:+.1f} (at most {100 * convergence.upper_bound:+.1f}; {shown})"
    at = [{int(one["steps"]): float(one["value"]) for one in record["budgets"]} for record in records]
    seconds = [float(record["costs"].get("train_seconds") or 0) for record in records]
    return {
        "bridge": cards[0].bridge,
        "tokens": cards[0].tokens,
        "parameters": records[0]["costs"]["trainable_parameters"],
        "steps": ", ".join(f"{steps:,}" for steps in sorted({record["steps"] for record in records})),
        "lr": ", ".join(f"{lr:g}" for lr in sorted({record["lr"] for record in records})),
        "budgets": [_percent([values.get(steps) for values in at]) for steps in budgets],
        "test": _percent([record["metrics"].get("test/accuracy") for record in records]),
        "gain": gain,
        "minutes": f"{sum(seconds) / len(seconds) / 60:.0f}",
        "kilobytes": f"{size / 1000:,.0f}",
    }


def _percent(shares: Sequence[float | None]) -> str:
    """Return the mean of shares in percent; a dash if one is missing."""
    known = [share for share in shares if share is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known and len(known) == len(shares) else "–"
