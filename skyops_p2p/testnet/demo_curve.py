"""The loss of a training as a line of characters, and as a picture. Pure."""

from collections.abc import Mapping

_LEVELS = "▁▂▃▄▅▆▇█"
WIDTH_DEFAULT = 50
_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48


def sparkline(values: Mapping[int, float], *, width: int = WIDTH_DEFAULT) -> str:
    """Return values in the order of their keys as at most `width` characters of eight heights; empty without any."""
    row = [values[key] for key in sorted(values)]
    if not row:
        return ""
    cells = min(width, len(row))
    means = []
    for cell in range(cells):
        part = row[cell * len(row) // cells : (cell + 1) * len(row) // cells]
        means.append(sum(part) / len(part))
    low, high = min(means), max(means)
    step = (high - low) / (len(_LEVELS) - 1)
    return "".join(_LEVELS[round((mean - low) / step) if step else 0] for mean in means)


def curve_svg(leases: Mapping[int, Mapping[int, float]], *, title: str) -> str:
    """Return an SVG picture of the loss by epoch, a colour for each lease.

    Args:
        leases: Lease -> {epoch of the training: loss}; at least one value.
        title: Above it; plain text.
    """
    points = [(epoch, loss) for row in leases.values() for epoch, loss in row.items()]
    last, top = max(2, *(epoch for epoch, _ in points)), max(loss for _, loss in points) or 1.0
    colours = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")

    def place(epoch: int, loss: float) -> str:
        x = _MARGIN + (epoch - 1) / (last - 1) * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - loss / top * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_MARGIN}" y="24" font-size="14">{_escaped(title)}</text>',
        f'<path d="M{_MARGIN},{_MARGIN} V{_HEIGHT - _MARGIN} H{_WIDTH - _MARGIN}" fill="none" stroke="black"/>',
        f'<text x="8" y="{_MARGIN + 4}">{top:.2f}</text><text x="8" y="{_HEIGHT - _MARGIN}">0</text>',
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 28}" text-anchor="end">epoch {last}</text>',
    ]
    for number, (lease, row) in enumerate(sorted(leases.items())):
        colour = colours[number % len(colours)]
        path = " ".join(place(epoch, row[epoch]) for epoch in sorted(row))
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(
            f'<text x="{_WIDTH - 2 * _MARGIN}" y="{_MARGIN + 16 * number}" fill="{colour}">lease {lease}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
