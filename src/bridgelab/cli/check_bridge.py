"""`bridgelab check-bridge`: check that a bridge keeps the contract."""

from bridgelab.cli.arguments import Parser, UsageError, choose
from bridgelab.config.root import config_root


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab check-bridge",
        description="Check a bridge against each demand of the contract in bridgelab/bridge/__init__.py.",
    )
    parser.add_argument("bridge", help="a class, such as my_module.MyBridge, or a name in conf/bridge")
    parser.add_argument(
        "choices",
        nargs="*",
        metavar="key=value",
        help="keyword arguments of the class, such as num_queries=8",
    )
    options = parser.parse_args(args)
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    conf = config_root() / "conf"
    choices = OmegaConf.from_dotlist(options.choices)
    if "." in options.bridge:
        config = OmegaConf.create({"_target_": options.bridge})
    else:
        choose("bridge", options.bridge, sorted(path.stem for path in (conf / "bridge").glob("*.yaml")))
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = OmegaConf.create(compose(f"bridge/{options.bridge}").bridge)
    from bridgelab.config.instantiate import NOT_ARGUMENTS, check_arguments, target

    kind = target(config, "bridge")
    OmegaConf.set_struct(config, False)
    config.merge_with(choices)
    # Read key by key: init_from may name the run's seed, which there is none of here.
    chosen = {str(key): config[key] for key in config if key not in NOT_ARGUMENTS}
    check_arguments(kind, chosen)
    broken = 0
    from bridgelab.bridge.contract import check

    for result in check(kind, chosen):
        broken += result.problem is not None
        print(f"{'holds ' if result.problem is None else 'BROKEN'}  {result.demand}", flush=True)
        if result.problem:
            print(f"        {result.problem}")
    if broken:
        raise UsageError(f"{options.bridge} breaks {broken} of the contract's demands.")
