"""Keys of evaluation and of the verdict. Free of torch."""

from bridgelab.config.schema.base import Count, Keys, Name, Number, ProperShare


class Limit(Keys):
    answer: Number | None = None
    caption: Number | None = None


class Evaluate(Keys):
    batch_size: Count
    num_beams: Count
    shuffled: bool
    captioned: Name | None
    tokens: Count | None = None
    limit: Limit


class Verdict(Keys):
    baseline: Name
    delta: ProperShare
