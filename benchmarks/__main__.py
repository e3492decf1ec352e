"""Measure times, memory and accuracies: `make bench`, or `make bench growth` for a part of it."""

import argparse
import os
import tempfile
from importlib import import_module
from pathlib import Path

ALL = sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py"))
LONG = ("growth", "photographs")  # run only by their names
USUAL = [name for name in ALL if name not in LONG]


def main() -> None:
    """Run the benchmarks that were asked for, each in a temporary folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"which of {', '.join(ALL)} (default: {', '.join(USUAL)})"
    )
    names = parser.parse_args().names or USUAL
    if unknown := set(names) - set(ALL):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    print(f"{os.cpu_count()} processors")
    for name in names:
        benchmark = import_module(f"benchmarks.{name}")
        print(f"\n{name}: {str(benchmark.__doc__).splitlines()[0]}")
        with tempfile.TemporaryDirectory() as folder:
            benchmark.main(Path(folder))


if __name__ == "__main__":
    main()
