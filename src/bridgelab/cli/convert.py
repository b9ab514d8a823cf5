"""`bridgelab convert`: carry a bridge's weights from or to BLIP-2, LLaVA, OpenFlamingo, Idefics2."""

import argparse
from pathlib import Path


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    parser = argparse.ArgumentParser(
        "bridgelab convert",
        description="Carry a bridge's weights between this package and published checkpoints.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="a file: .safetensors, or PyTorch's own")
    parser.add_argument("out", type=Path, metavar="OUT", help="the safetensors file to write")
    way = parser.add_mutually_exclusive_group(required=True)
    formats = "llava, llava_hf, blip2, blip2_hf, instructblip_hf, openflamingo, idefics2"
    way.add_argument("--from", dest="origin", metavar="FORMAT", help=f"IN is published: {formats}")
    way.add_argument(
        "--to", dest="goal", metavar="FORMAT", help="IN is of this package, OUT is to be published's"
    )
    given = parser.parse_args(args)
    from bridgelab.bridge import convert, weights

    tensors = weights.read_weights(given.source)
    if given.origin:
        found, dropped = convert.from_published(tensors, given.origin)
        for name, reason in dropped.items():
            print(f"not carried: {name} ({reason})")
    else:
        found = convert.to_published(tensors, given.goal)
    weights.write_weights(found, given.out)
    print(f"{given.out}: {len(found)} tensors, {sum(t.numel() for t in found.values()):,} weights")
    if given.origin:
        print(
            f"Next: bridgelab train bridge=NAME bridge.init_from={given.out}, with train.steps=0 to evaluate it as it is"
        )
