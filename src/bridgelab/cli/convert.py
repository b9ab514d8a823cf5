"""`bridgelab convert`: convert weights from or to BLIP-2, LLaVA, OpenFlamingo and Idefics2."""

import shlex
from pathlib import Path

from bridgelab.cli.arguments import Parser, file
from bridgelab.printable import printable


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab convert",
        description="Convert a bridge's weights from a published checkpoint to bridgelab's names, or back.",
    )
    parser.add_argument(
        "source", type=Path, metavar="IN", help="the weights to read, .safetensors or a PyTorch file"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the .safetensors file to write")
    way = parser.add_mutually_exclusive_group(required=True)
    formats = "llava, llava_hf, blip2, blip2_stage1, blip2_hf, blip2_itm_hf, instructblip_hf, openflamingo, idefics2"
    way.add_argument(
        "--from", dest="origin", metavar="FORMAT", help=f"the format of IN, to write bridgelab's: {formats}"
    )
    way.add_argument("--to", dest="goal", metavar="FORMAT", help="the format of OUT, if IN has bridgelab's")
    options = parser.parse_args(args)
    file(options.source, "file of weights")
    from bridgelab.bridge import convert, weights
    from bridgelab.bridge.published import file_metadata, is_complete, training_overrides

    tensors, metadata = weights.read_weights(options.source), {}
    if options.origin:
        converted, dropped = convert.from_published(tensors, options.origin)
        for name, reason in dropped.items():
            print(printable(f"not carried: {name} ({reason})"))
        metadata = file_metadata(converted, options.origin)
    else:
        if weights.is_first_stage(options.source):
            raise ValueError(
                f"{options.source} was trained by 'bridgelab align' on standardized patches: {options.goal!r} reads them as they are, "
                "and a Q-Former's norm keeps mean and deviation out of its weights. Train it further here: 'bridgelab train "
                f"bridge=qformer bridge.init_from={options.source}'."
            )
        extras = weights.read_run_extras(options.source, {})
        converted = convert.to_published(tensors, options.goal, extras)
        if extras:
            print("folded into the weights: the patches' mean and deviation, and the tokens' scale")
    weights.write_weights(converted, options.out, metadata)
    print(f"{options.out}: {len(converted)} tensors, {sum(t.numel() for t in converted.values()):,} weights")
    if options.origin:
        ready = is_complete(converted)
        command = (
            ["evaluate", "--bridge", str(options.out)]
            if ready
            else ["train", *training_overrides(options.out)]
        )
        print(f"Next: {shlex.join(['bridgelab', *command])} vision=NAME text=NAME benchmark=NAME")
