"""A table as SVG, drawn by gnuplot."""
import shutil
import subprocess
import textwrap

from results import Spread, middle


def can_draw():
    return shutil.which("gnuplot") is not None


def draw(table, path):
    """Draws what the table has in numbers; False where that is nothing."""
    drawn = [row for row in table.rows if any(middle(row[y]) is not None for y in table.plot.ys)]
    if not drawn:
        return False
    script = "\n".join(header(table, path) + body(table, drawn))
    got = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE)
    if got.returncode != 0:
        raise RuntimeError("gnuplot cannot draw %s: %s" % (table.key, got.stderr))
    return True


def label(text):
    """Text below an axis, in short lines."""
    return "\\n".join(textwrap.wrap(str(text).replace("`", ""), 14, break_long_words=False))


def quoted(text):
    return '"%s"' % str(text).replace('"', "'")


def header(table, path):
    plot = table.plot
    lines = [
        "set terminal svg size 860,440 dynamic background '#ffffff' font 'sans,12' noenhanced",
        "set output " + quoted(path),
        "set title " + quoted(table.title),
        "set ylabel " + quoted(plot.unit),
        "set grid ytics lc rgb '#dddddd'",
        "set border 3",
        "set tics nomirror",
        "set key outside top center horizontal",
        "set yrange [*<0:*]",
    ]
    if plot.log_y:
        lines += ["unset yrange", "set logscale y"]
    if plot.line_at is not None:
        lines.append("set arrow from graph 0, first {0} to graph 1, first {0} nohead dt 2".format(
            plot.line_at))
    return lines


def point(cell):
    """A cell's middle and the ends of its bar; gnuplot leaves NaN out."""
    value = middle(cell)
    if value is None:
        return "NaN NaN NaN"
    ends = (min(cell.values), max(cell.values)) if isinstance(cell, Spread) else (value, value)
    return "%g %g %g" % (value, *ends)


def body(table, rows):
    plot = table.plot
    lines = ["$data << END"]
    for row in rows:
        x = quoted(label(row[plot.x])) if plot.kind == "bars" else "%g" % middle(row[plot.x])
        lines.append(" ".join([x] + [point(row[y]) for y in plot.ys]))
    lines.append("END")
    titles = [quoted(table.columns[y]) for y in plot.ys]
    starts = [2 + 3 * i for i in range(len(plot.ys))]
    if plot.kind == "bars":
        lines += ["set style data histogram", "set style histogram errorbars gap 1 lw 1",
                  "set style fill solid 0.6", "set xtics font ',10'", "set bmargin 6"]
        lines += ["set xtics rotate by -40"] if len(rows) > 8 else []
        curves = ["$data using %d:%d:%d:xtic(1) title %s" % (at, at + 1, at + 2, title)
                  for at, title in zip(starts, titles)]
    else:
        lines.append("set xlabel " + quoted(table.columns[plot.x]))
        if plot.log_x:
            lines.append("set logscale x")
        curves = ["$data using 1:%d:%d:%d with yerrorlines pt 7 title %s"
                  % (at, at + 1, at + 2, title) for at, title in zip(starts, titles)]
    return lines + ["plot " + ", ".join(curves)]
