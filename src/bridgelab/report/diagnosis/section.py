"""The page's part on where answers rest: a question, and each bridge's answer with its maps, side by side."""

import html
from collections.abc import Sequence

from bridgelab.report.diagnosis.overlay import over_image
from bridgelab.report.diagnosis.record import Map
from bridgelab.report.diagnosis.table import Diagnoses
from bridgelab.report.examples import Shown
from bridgelab.report.summary import rows_of
from bridgelab.runs.study import Study

STYLE = """
.strip { display: flex; flex-wrap: wrap; gap: .75rem; margin: .5rem 0 1.5rem; }
figure.map { margin: 0; width: 7.5rem; overflow: visible; }
figure.map img { width: 7.5rem; min-width: 0; height: 7.5rem; }
figure.map figcaption { font-size: .85rem; line-height: 1.3; margin: .25rem 0 .5rem; overflow-wrap: anywhere; }
"""
TOLD = (
    "Patches are replaced by the mean patch before the bridge, window by window: red where the bridge's own answer gets less likely "
    "without them, blue where it gets likelier. That is a cause, measured alike for every bridge. Below, in violet, where a "
    "bridge has attention: how it lies. That is a description, no cause."
)


def rests(study: Study, shown: Sequence[Shown], found: Diagnoses) -> str:
    """The part as HTML; empty where no map belongs to a question that is shown with its image.

    Args:
        study: whose answers are marked right or wrong.
        shown: the questions of the page.
        found: its diagnoses; of each bridge the first run that has maps is shown.
    """
    maps: dict[str, tuple[int, dict[str, Map]]] = {}
    right: dict[str, dict[str, bool]] = {}
    for bridge, runs in found.items():
        own = next((run for run in runs if run.maps), None)
        record = own and next(
            (r for r in study.of(bridge) if (r.seed, r.data_seed) == (own.seed, own.data_seed)), None
        )
        if own and record:
            maps[bridge] = own.seed, {one.id: one for one in own.maps}
            scores = rows_of(record, "image", captions=False)["score"]
            right[bridge] = {str(name): bool(score >= 0.5) for name, score in scores.items()}
    rows = []
    for question in shown:
        known = {
            bridge: (seed, own[question.id]) for bridge, (seed, own) in maps.items() if question.id in own
        }
        if not known or len(question.pictures) != 1:
            continue
        figures = "".join(
            _figure(question, bridge, seed, one, right[bridge].get(question.id, False))
            for bridge, (seed, one) in known.items()
        )
        rows.append(
            f"<p>{html.escape(question.prompt)} <strong>{html.escape(question.target)}</strong></p>"
            f'<div class="strip"><figure class="map"><img src="{question.pictures[0]}" alt="The image of the question">'
            f"<figcaption>the image</figcaption></figure>{figures}</div>"
        )
    if not rows:
        return ""
    return "\n".join([f"<p>{TOLD}</p>", *rows])


def _figure(question: Shown, bridge: str, seed: int, one: Map, right: bool) -> str:
    name = html.escape(f"{bridge}, seed {seed}")
    fall = over_image(question.pictures[0], one.fall, signed=True)
    parts = [
        f'<figure class="map"><img src="{fall}" alt="{name}: where its answer rests, by replacement">'
        f'<figcaption>{name}: <span class="{"right" if right else "wrong"}">{"✓" if right else "✗"} {html.escape(one.said)}'
        "</span></figcaption>"
    ]
    if one.attention is not None:
        seen = over_image(question.pictures[0], one.attention, signed=False)
        parts.append(
            f'<img src="{seen}" alt="{name}: where its attention lies, a description">'
            "<figcaption>its attention (description)</figcaption>"
        )
    return "".join([*parts, "</figure>"])
