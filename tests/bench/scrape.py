"""What a scrape of a large host costs."""
import re
import subprocess

from results import Plot, Spread, Table
from unrelated import built

OPTIONS = {
    "workloads": ("30,100,300", "3,10", "numbers of workloads"),
    "workers": (4, 2, "workers of each"),
    "rounds": (5, 2, "interleaved rounds"),
}


def one_run(workloads, workers):
    """(lines, megabytes, ms of the copy, ms to collect, ms to collect and write)"""
    command = [built("scrape_bench"), str(workloads), str(workers)]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    lines, size = re.search(r"(\d+) lines, ([\d.]+) MB", said).groups()
    return [int(lines), float(size), *map(float, re.findall(r"([\d.]+) ms", said))]


def measure(options):
    counts = [int(one) for one in options.workloads.split(",")]
    runs = {count: [] for count in counts}
    for _ in range(options.rounds):
        for count in counts:
            runs[count].append(one_run(count, options.workers))
    rows = []
    for count, found in runs.items():
        lines, size, *times = zip(*found)
        rows.append((count, lines[0], size[0], *map(Spread, times)))
    yield Table(
        "scrape",
        "A scrape, by workloads of %d workers each" % options.workers,
        ("workloads", "lines", "MB", "copy of the sums once a second, ms", "collect, ms",
         "collect and write the page, ms"),
        rows,
        "Every label set is there.",
        Plot("curve", 0, (3, 4, 5), "ms"),
    )
