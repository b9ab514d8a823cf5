"""The losses of a run as a CSV and a figure."""

import csv
from pathlib import Path

from bridgelab.world.scene import ATTRIBUTES

FIELDS = ("step", "images", "seconds", "lr", "contrastive", "captioning", "gradient", *ATTRIBUTES)


class LossLog:
    """Losses as a CSV.

    Args:
        path: of the CSV.
        rows: those that are in it.
    """

    def __init__(self, path: Path, rows: list[dict[str, float]]):
        self.path, self.rows = path, rows

    @classmethod
    def resume(cls, path: Path, step: int) -> "LossLog":
        """Open a log; drop the rows after `step`, which a resumed run writes again."""
        rows: list[dict[str, float]] = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        rows = [row for row in rows if row["step"] <= step]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
        return cls(path, rows)

    def add(self, row: dict[str, float]) -> None:
        """Append a row; it is on disk when this returns."""
        self.rows.append(row)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(row)

    def draw(self) -> None:
        """Draw the losses over the number of images, as a PNG beside the CSV."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name in ("captioning", "contrastive"):
            axes.plot([row["images"] for row in self.rows], [row[name] for row in self.rows], label=name)
        axes.set(
            xlabel="images seen", ylabel="loss (nats)", yscale="log", title="Miniature ViT: captions alone"
        )
        axes.legend()
        figure.savefig(self.path.with_suffix(".png"), dpi=110)
