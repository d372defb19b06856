"""The `coe-ray` command."""


def main() -> int:
    raise SystemExit("coe-ray: no subcommand yet")
