"""The families of questions, each a way of reasoning, and the words of the relations."""

HOPS = ("zero_hop", "one_hop", "two_hop", "three_hop", "four_hop", "five_hop")
KINDS = ("exist", "count", "query")
FAMILIES = (
    *(f"{hop}_{kind}" for hop in HOPS[:4] for kind in KINDS),  # a split may request longer ones
    *(f"same_attribute_{kind}" for kind in KINDS),
    *(f"single_and_{kind}" for kind in KINDS),
    "single_or_count",
    "single_or_relate_count",
    "comparison",
    "comparison_one_hop",
    "compare_integer_equal",
    "compare_integer_less",
    "compare_integer_greater",
)

OPPOSITE = {"left": "right", "right": "left", "front": "behind", "behind": "front"}
RELATION_WORDS = {"left": "left of", "right": "right of", "front": "in front of", "behind": "behind"}
