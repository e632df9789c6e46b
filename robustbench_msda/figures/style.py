"""How every figure looks: one style, and one colour a method that readers with any colour vision can tell apart."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib import colors
from matplotlib.figure import Figure

from robustbench_msda.results.aggregates import base_method, ordered_labels

INK = "#222222"
FAINT = "#8a8a8a"
GRID = "#e6e6e6"
IMPROVED = "#0072B2"
DEGRADED = "#C0392B"
WIDTH = 7.4
LEGEND_LINE = 0.17

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "figure.facecolor": "white",
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    # A name with two dollar signs is no formula.
    "text.parse_math": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    # Ids in an SVG are hashes of its content and of this salt instead of chance.
    "svg.hashsalt": "robustbench_msda",
}

# Okabe and Ito (2008) for the methods with a place in the palette; Tol's muted scheme for those that come.
COLOURS = {
    "vanilla": "#4a4a4a",
    "mixup": "#0072B2",
    "cutmix": "#D55E00",
    "cutout": "#009E73",
    "fmix": "#CC79A7",
    "puzzlemix": "#E69F00",
    "augmix": "#56B4E9",
}
SPARE = ("#882255", "#44AA99", "#999933", "#332288", "#117733", "#AA4499", "#88CCEE")
DASHES = ((), (4.0, 1.6), (1.4, 1.4), (6.0, 1.4, 1.4, 1.4))
MARKERS = "osD^vP"
# Share of black mixed into the colour of the second, third, ... variant of a method.
SHADES = (0.0, 0.4, -0.35, 0.6)


@dataclass(frozen=True)
class LineStyle:
    """How the line of a method is drawn."""

    colour: str
    dashes: tuple[float, ...]
    marker: str


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in our style, whatever the user's configuration says, and leave that configuration as it was."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in STYLE.items():
            mpl.rcParams[name] = value  # type: ignore[index]
        yield


def new_figure(title: str, height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of ``width`` × ``height`` inches with its title."""
    figure = Figure(figsize=(width, height), layout="constrained")
    title_figure(figure, title)
    return figure


def title_figure(figure: Figure, title: str) -> None:
    """Write ``title`` above a figure, in place of what is there."""
    figure.suptitle(textwrap.fill(title, int(11.5 * figure.get_figwidth())), x=0.01, ha="left")


def line_styles(labels: Iterable[str]) -> dict[str, LineStyle]:
    """Return the style of every label: a method's colour, and a dash and marker for each of its variants."""
    ordered = ordered_labels(labels)
    bases = [base_method(label) for label in ordered]
    strangers = sorted(set(bases) - set(COLOURS))
    colours = COLOURS | {name: SPARE[k % len(SPARE)] for k, name in enumerate(strangers)}
    styles = {}
    for k, (label, base) in enumerate(zip(ordered, bases, strict=True)):
        variant = bases[:k].count(base)
        colour = shaded(colours[base], SHADES[variant % len(SHADES)])
        styles[label] = LineStyle(colour, DASHES[variant % len(DASHES)], MARKERS[variant % len(MARKERS)])
    return styles


def shaded(colour: str, share: float) -> str:
    """Return ``colour`` with a ``share`` of black mixed in, or of white where it is negative."""
    target = 0.0 if share > 0 else 1.0
    red, green, blue = ((1 - abs(share)) * part + abs(share) * target for part in colors.to_rgb(colour))
    return colors.to_hex((red, green, blue))


def legend_below(figure: Figure, styles: dict[str, LineStyle]) -> None:
    """Draw one legend below all axes, on as many lines as its labels take; the figure grows by all but two of them."""
    handles = [
        mpl.lines.Line2D([], [], color=style.colour, dashes=style.dashes or (1, 0), marker=style.marker)
        for style in styles.values()
    ]
    longest = max(len(label) for label in styles)
    columns = max(1, min(len(styles), int(figure.get_figwidth() * 11 / (longest + 6))))
    lines = -(-len(styles) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * max(0, lines - 2))
    figure.legend(handles, list(styles), loc="outside lower center", ncols=columns, handlelength=3.0)


def ink_on(red: float, green: float, blue: float) -> str:
    """Return the text colour of the higher contrast on a background of sRGB parts in [0, 1] (WCAG 2, luminance)."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    return INK if (luminance + 0.05) / 0.066 > 1.05 / (luminance + 0.05) else "white"


def wrapped(label: str, width: int = 16) -> str:
    """Return ``label`` on lines of about ``width`` characters."""
    return "\n".join(textwrap.wrap(label.replace("_", " "), width, break_long_words=False))
