"""Charts of the page as SVG in its text: they take the colours of the page, light or dark, and are read out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 44
SQUARE = 300
# Steps of an axis between two powers of ten.
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, and points (x, y, spread), y and spread in percent, NaN for no spread."""

    name: str
    points: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Chart:
    """A chart and the words below it.

    Attributes:
        title: a few words.
        svg: the drawing.
        names: of its lines, the first drawn through, the second dashed.
        note: what is drawn.
    """

    title: str
    svg: Markup
    names: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """From data to the drawing, linearly: ``low`` is drawn at ``start``, ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where ``value`` is drawn."""
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)


def line_chart(title: str, x_title: str, ticks: Sequence[tuple[float, str]], lines: Sequence[Line]) -> Chart:
    """Return a chart of one or two lines of percentages from zero on.

    Args:
        title: what is drawn, for those who cannot see it, too.
        x_title: below the horizontal axis.
        ticks: where the horizontal axis is marked, and how.
        lines: what is drawn; the second is what the first is compared with.
    """
    drawn = [line for line in lines if line.points]
    highest = max((y for line in drawn for _, y, _ in line.points), default=1.0)
    top = max((y + s for line in drawn for _, y, s in line.points if not math.isnan(s)), default=highest)
    # What is a share ends at 100, and so does the band around it.
    steps = nice_steps(min(max(top, highest), max(100.0, highest)))
    across = Scale(ticks[0][0], ticks[-1][0], LEFT + 8, WIDTH - RIGHT - 8)
    up = Scale(0.0, steps[-1], HEIGHT - BOTTOM, TOP)
    parts = [level_grid(steps, up), tick_texts(ticks, across), axis_titles(x_title)]
    for place in reversed(range(len(drawn))):
        parts.append(one_line(drawn[place], "own" if place == 0 else "base", across, up))
    told = "; ".join(f"{line.name}: {', '.join(f'{y:.1f}' for _, y, _ in line.points)}" for line in drawn)
    svg = drawing(f"{title}, in percent, from left to right. {told}.", WIDTH, HEIGHT, parts)
    return Chart(title, svg, tuple(line.name for line in drawn))


def nice_steps(top: float) -> list[float]:
    """Return marks from 0 to ``top`` or just above it, at least three and at most seven."""
    rough = max(top, 1e-6) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(each for each in STEPS if each * power >= rough * 0.999)
    return [step * k for k in range(max(2, math.ceil(top / step - 1e-9)) + 1)]


def drawing(words: str, width: int, height: int, parts: Sequence[Markup]) -> Markup:
    """Return ``parts`` as one drawing that is read out as ``words``."""
    inner = Markup("").join(parts)
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {1}" style="max-width:{0}px" role="img" aria-label="{2}">{3}</svg>'
    ).format(width, height, words, inner)


def level_grid(steps: Sequence[float], up: Scale) -> Markup:
    """Return the horizontal lines and what they stand for."""
    lines = "".join(f'<path class="grid" d="M{LEFT} {up(step):.1f}H{WIDTH - RIGHT}"/>' for step in steps)
    texts = "".join(f'<text x="{LEFT - 7}" y="{up(step) + 4:.1f}" text-anchor="end">{step:g}</text>' for step in steps)
    return Markup(lines + texts)


def tick_texts(ticks: Sequence[tuple[float, str]], across: Scale) -> Markup:
    """Return the marks of the horizontal axis; names that would touch the one before are left out."""
    parts, free = [], -math.inf
    for value, text in ticks:
        x, half = across(value), 3.6 * len(text)
        parts.append(Markup('<path class="grid" d="M{0:.1f} {1}v4"/>').format(x, HEIGHT - BOTTOM))
        if x - half > free:
            parts.append(
                Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(x, HEIGHT - BOTTOM + 18, text)
            )
            free = x + half + 3
    return Markup("").join(parts)


def axis_titles(x_title: str) -> Markup:
    """Return the title of the horizontal axis."""
    middle = (LEFT + WIDTH - RIGHT) / 2
    return Markup('<text class="title" x="{:.0f}" y="{}" text-anchor="middle">{}</text>').format(
        middle, HEIGHT - 6, x_title
    )


def one_line(line: Line, kind: str, across: Scale, up: Scale) -> Markup:
    """Return a line with its spread as a band and a point at each value, which tells its number."""
    spots = [
        (across(x), up(y), up(max(y - spread, 0.0)), up(min(y + spread, up.high)) if spread == spread else math.nan)
        for x, y, spread in line.points
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in spots)
    band = [spot for spot in spots if not math.isnan(spot[3])]
    outline = [f"{x:.1f} {high:.1f}" for x, _, _, high in band] + [f"{x:.1f} {low:.1f}" for x, _, low, _ in band[::-1]]
    shape = f'<path class="band {kind}" d="M{"L".join(outline)}Z"/>' if len(band) > 1 else ""
    points = Markup("").join(
        Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}: {:.2f} %</title></circle>').format(
            kind, x, y, line.name, value
        )
        for (x, y, _, _), (_, value, _) in zip(spots, line.points, strict=True)
    )
    return Markup(f'{shape}<path class="line {kind}" d="M{path}"/>') + points


def reliability_chart(title: str, bins: Sequence[tuple[float, float, float]]) -> Chart:
    """Return accuracy against confidence, bin by bin: a point's area is its share of the images.

    Args:
        title: what is drawn.
        bins: (confidence, accuracy, share of images), each in [0, 1].
    """
    across, up = Scale(0.0, 1.0, LEFT, SQUARE - RIGHT), Scale(0.0, 1.0, SQUARE - BOTTOM, TOP)
    parts = []
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = up(mark), across(mark)
        parts.append(
            Markup(
                f'<path class="grid" d="M{LEFT} {y:.1f}H{SQUARE - RIGHT}M{x:.1f} {TOP}V{SQUARE - BOTTOM}"/>'
                f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{100 * mark:g}</text>'
                f'<text x="{x:.1f}" y="{SQUARE - BOTTOM + 18}" text-anchor="middle">{100 * mark:g}</text>'
            )
        )
    parts.append(Markup(f'<path class="line base" d="M{across(0)} {up(0)}L{across(1)} {up(1)}"/>'))
    for confidence, accuracy, share in bins:
        x, y = across(confidence), up(accuracy)
        parts.append(
            Markup(
                f'<path class="gap" d="M{x:.1f} {up(confidence):.1f}V{y:.1f}"/><circle class="own" cx="{x:.1f}" '
                f'cy="{y:.1f}" r="{2.5 + 12 * math.sqrt(share):.1f}"><title>confidence {100 * confidence:.1f} %, '
                f"accuracy {100 * accuracy:.1f} %, {100 * share:.1f} % of images</title></circle>"
            )
        )
    parts.append(
        Markup(
            f'<text class="title" x="{(LEFT + SQUARE - RIGHT) / 2:.0f}" y="{SQUARE - 6}" text-anchor="middle">'
            "confidence (%)</text>"
        )
    )
    told = ", ".join(f"{100 * confidence:.0f} to {100 * accuracy:.0f}" for confidence, accuracy, _ in bins)
    words = f"{title}: confidence to accuracy in percent, bin by bin: {told}."
    return Chart(title, drawing(words, SQUARE, SQUARE, parts))
