"""The connectors between the frozen ViT and the frozen T5: one file per bridge, one yaml each in `conf/bridge/`.

The contract, which `tests/bridge/test_contract.py` tests for every yaml:

    bridge = Bridge(vision_dim, text_dim, *, choices...)
    tokens = bridge(patches, text=None, text_mask=None)

    patches    [B, N, vision_dim]  the ViT's patch features, as the vision config defines them
    text       [B, T, text_dim]    the frozen T5 encoder's output for the question, or None
    text_mask  [B, T]              nonzero for words, zero for padding
    tokens     [B, M, text_dim]    inserted before the prompt's word embeddings; M is taken from the output

- Widths come from the backbones and are positional. Choices are keyword-only and set in the yaml.
- A bridge may not depend on the rest of the batch, and its tokens are finite in bfloat16.
- Every parameter gets a gradient from the tokens. A bridge sets no seed: the caller seeds before it builds.
- Query bridges give the same tokens for any order of the patches. A bridge that depends on their positions takes the keyword
  `grid`, the (rows, columns) of the patches.
- A class token, if `vision.cls=true` puts one before the patches, is one more of them. A bridge with a `grid` leaves it out
  (`patch_grid.py`) or reads it alone (`cls_linear.py`).
- A bridge that is not conditioned on the question accepts `text` and ignores it. A query bridge may be conditioned
  (`conditioning.py`): it then reads the T5 encoder's output for the question without visual tokens.
- Tokens are not scaled to the word embeddings: the model does that for all bridges.

Class attributes, all optional:

- `sized_by`: the keyword, a number of channels, that `budget.params` is solved for (`budget.py`).
- `sized_in_multiples_of`: a number that divides every value of that keyword, besides `num_heads` if the keyword is `width`.
- `paper` and `code_licence`: the source of the idea, and the licence of its authors' code, for the table of bridges
  (`bridgelab bridges`). None of that code is used here.
- `needs_cls`: true if the bridge reads the class token; the run is refused unless `vision.cls=true`.
- `fixed_at_init`: ends of the names of parameters that start the same for every seed by design, such as points on a grid.
- `tokens_per_image`: the number of tokens of a bridge that has no keyword for it and does not output one per patch.
- `draws_tokens`: true if each training step outputs another number of tokens. Such a bridge has a method `limit_tokens(number)`
  for the number outside training (`evaluate.tokens`), and keeps the rules above in eval mode.
- `sees`: "image" (the default), "nothing" for the floor (`blind.py`), or "words" for the ceiling (`words.py`).
"""
