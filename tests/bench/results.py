"""What the parts of the bench hand over: tables of spreads, and their Markdown and JSON forms."""
import dataclasses
import math
import statistics
import typing


@dataclasses.dataclass(frozen=True)
class Spread:
    """One figure measured several times."""

    values: tuple

    def __post_init__(self):
        object.__setattr__(self, "values", tuple(self.values))

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def interval(self):
        """Where the true median is with 95 % (by order statistics); None below six values."""
        count, tail, rank = len(self.values), 0.0, 0
        while (tail := tail + math.comb(count, rank) / 2**count) <= 0.025:
            rank += 1
        ordered = sorted(self.values)
        return (ordered[rank - 1], ordered[count - rank]) if rank else None

    def text(self):
        low, high = number(min(self.values)), number(max(self.values))
        sure = " (%s…%s)" % tuple(map(number, self.interval)) if self.interval else ""
        return "%s%s [%s…%s] of %d" % (number(self.median), sure, low, high, len(self.values))


@dataclasses.dataclass(frozen=True)
class Missing:
    """A figure that cannot be had here, and why."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Plot:
    """How a table is drawn: columns by their index."""

    kind: str  # "bars" or "curve"
    x: int
    ys: typing.Sequence[int]
    unit: str
    log_x: bool = False
    log_y: bool = False
    line_at: typing.Optional[float] = None  # what "no difference" is


@dataclasses.dataclass(frozen=True)
class Table:
    key: str  # names its files
    title: str
    columns: typing.Sequence[str]
    rows: typing.Sequence[typing.Sequence]
    note: str = ""
    plot: typing.Optional[Plot] = None


def number(value):
    if isinstance(value, int):
        return "{:,}".format(value)
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 2 else 3
    return "{:,.{}f}".format(value, digits)


def cell_text(cell):
    if isinstance(cell, Spread):
        return cell.text()
    if isinstance(cell, Missing):
        return "not available: " + cell.reason.replace("|", "/")
    return number(cell) if isinstance(cell, (int, float)) else str(cell).replace("|", "/")


def middle(cell):
    """The number of a cell, None where it has none."""
    if isinstance(cell, Spread):
        return cell.median
    return float(cell) if isinstance(cell, (int, float)) else None


def table_markdown(table):
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(map(cell_text, row)) + " |" for row in table.rows]
    return "\n".join(lines)


def document(machine, tables, plots):
    """The whole result, with plots beside it."""
    parts = ["# What loopsight costs", machine_markdown(machine)]
    for table in tables:
        parts += ["## " + table.title, table_markdown(table)]
        if table.note:
            parts.append(table.note)
        if table.key in plots:
            parts.append("![%s](%s)" % (table.title, plots[table.key]))
    return "\n\n".join(parts) + "\n"


def readme_form(machine, tables):
    """The same without headings and plots, to be pasted."""
    parts = [machine_markdown(machine)]
    for table in tables:
        parts += ["**%s.** %s" % (table.title, table.note), table_markdown(table)]
    return "\n\n".join(parts) + "\n"


def machine_markdown(machine):
    facts = ", ".join("%s %s" % (name, value) for name, value in machine.items())
    return facts + (
        ".\n\nFigures are median (where the true one is with 95 %) [least…greatest] of the number of "
        "measurements."
    )


def cell_json(cell):
    if isinstance(cell, Spread):
        low, high = min(cell.values), max(cell.values)
        return {"median": cell.median, "interval": cell.interval, "min": low, "max": high,
                "values": list(cell.values)}
    if isinstance(cell, Missing):
        return {"not_available": cell.reason}
    return cell


def table_json(table):
    rows = [dict(zip(table.columns, map(cell_json, row))) for row in table.rows]
    return {"key": table.key, "title": table.title, "note": table.note, "rows": rows}
