"""What stands between the frozen ViT and the frozen T5: one file a bridge, one yaml in `conf/bridge/`.

The contract, which `tests/bridge/test_contract.py` holds every yaml to:

    bridge = Bridge(vision_dim, text_dim, *, choices...)
    tokens = bridge(patches, text=None, text_mask=None)

    patches    [B, N, vision_dim]  the ViT's patch features, as the vision config made them
    text       [B, T, text_dim]    the frozen T5's representation of the question; None where there is none
    text_mask  [B, T]              nonzero where `text` holds a word, zero where it is padding
    tokens     [B, M, text_dim]    placed in front of the prompt's word embeddings; M is read off the output

- Widths come from the objects on both sides and are positional; choices are keyword-only and live in yaml.
- A bridge may not depend on the rest of the batch, and is finite in bfloat16.
- Every parameter gets a gradient from the tokens. No seed is set here: the caller seeds before it builds.
- Query bridges give the same tokens for any order of the patches; a bridge to which the places matter takes
  the keyword `grid`, the (rows, columns) of the patches.
- A bridge that is not conditioned on the question accepts `text` and does not read it. A query bridge may be
  (`conditioning.py`): it then reads what the T5's encoder makes of the question alone.
- Tokens are not scaled to the word embeddings: that is one step for all bridges and belongs to the model.

The choice by which a bridge can be made larger or smaller, if it has one, is its class attribute `sized_by`: a count of
channels, which `budget.params` is solved for (`budget.py`).

Where its idea is from, `paper`, and under which licence its authors' code is, `code_licence`, stand in the README's table of
bridges (`bridgelab bridges` prints it); nothing of that code is here.

What a bridge may see is its class attribute `sees`: "image" (absent means this) or, for the floor and the
ceiling that share the contract, "nothing" (`blind.py`) and "words" (`words.py`).
"""
