"""Every word of the world's language, in a fixed order, so that a tokenizer needs no text to be built."""

from bridgelab.world.caption import ORDERS
from bridgelab.world.questions.families import RELATION_WORDS
from bridgelab.world.scene import ATTRIBUTES, SHAPES
from bridgelab.world.words import COLUMNS, ROWS

FILLER = "."  # means nothing: ends a caption, and fills the empty positions of a prefix
NUMBERS = tuple(str(n) for n in range(17))
_GRAMMAR = (
    "? , a an and another any are as at because describe do explain fewer have how is made many more not number of "
    "or other others same than that the there things what where which color material shape size thing"
)
_STATEMENTS = "true false"


def words() -> list[str]:
    """Return all words, without duplicates."""
    phrases = [
        FILLER,
        _GRAMMAR,
        _STATEMENTS,
        *RELATION_WORDS.values(),
        *ORDERS,
        "yes no",
        *NUMBERS,
        *(word for values in ATTRIBUTES.values() for word in values),
        *(f"{shape}s" for shape in SHAPES),
        *COLUMNS,
        *ROWS,
    ]
    return list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))
