"""A JSON-MIN export of a million rows to a table, against `json.load` of the same file."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

ROWS, RUNS = 1_000_000, 3
CLASSES = ["Earth", "Jupiter", "Mars", "Mercury", "Moon", "Neptune", "Pluto", "Saturn", "Uranus", "Venus"]
# Each in a process of its own, which prints the seconds and the bytes at most used.
MEASURE = """
import resource, sys, time
{prepare}
started = time.perf_counter()
table = {call}
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
LOAD = MEASURE.format(prepare="import json", call="json.load(open(sys.argv[1], encoding='utf-8'))")
READ = MEASURE.format(
    prepare="from helpers.labels import read_export",
    call="read_export(sys.argv[1])",
)


def write_export(file: Path) -> None:
    """Write rows as Label Studio writes them: indented, with escaped slashes."""
    with file.open("w", encoding="utf-8") as export:
        for number in range(ROWS):
            row = {
                "image": f"/data/upload/2/{number * 2654435761 % 2**32:08x}-img{number:07d}.jpg",
                "id": number,
                "choice": CLASSES[number * 7 % 10],
                "annotator": number % 3 + 1,
                "annotation_id": number + 5,
                "created_at": "2026-11-22T07:31:47.640255Z",
                "updated_at": f"2026-11-22T07:31:{number % 60:02d}.640286Z",
                "lead_time": 3.217,
            }
            export.write(("," if number else "[") + json.dumps(row, indent=2).replace("/", r"\/"))
        export.write("]")


def measure(code: str, file: Path) -> tuple[float, float]:
    """Run a program on the export: seconds and gigabytes."""
    result = subprocess.run([sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True)
    seconds, size = map(float, result.stdout.split())
    return seconds, size / 1e9


def main(folder: Path) -> None:
    """Take turns, so that a busy moment meets both."""
    file = folder / "export.json"
    write_export(file)
    load, read = zip(*((measure(LOAD, file), measure(READ, file)) for _ in range(RUNS)), strict=True)
    for name, runs in (("json.load", load), ("read_export", read)):
        seconds, memory = (median(values) for values in zip(*runs, strict=True))
        print(f"{name:42}{seconds:8.2f} s  {memory:8.2f} GB")
    ratio = median(mine[0] / theirs[0] for mine, theirs in zip(read, load, strict=True))
    print(f"{'read_export / json.load':42}{ratio:8.2f}")
