"""The verdict as a badge: an endpoint for shields.io (https://shields.io/badges/endpoint-badge), or a drawing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from bnspec.certificate.model import Certificate, Verdict
from bnspec.engine.plan import UsageError

LABEL = "batch norm"
COLOURS: dict[Verdict, tuple[str, str]] = {
    "conforms": ("brightgreen", "#3c1"),
    "does not conform": ("red", "#d43"),
    "incomplete": ("yellow", "#ca2"),
}
"""Of each verdict the colour by its name at shields.io, and as it is drawn."""
HEIGHT, PADDING, SIGN = 20, 6, 6.3
"""Of the drawing in pixels; a sign is as wide on average, and `textLength` fits each text to its field."""


def check_badge(file: str | None) -> None:
    """Raises UsageError for a file that is to be neither of the two."""
    if file is not None and Path(file).suffix not in (".json", ".svg"):
        raise UsageError(f"--badge {file}: name a file that ends in .json, for shields.io, or in .svg")


def render_badge(certificate: Certificate, file: str) -> str:
    """The text of a badge: JSON or SVG, by the name of its file."""
    dialects = {report.dialect for report in certificate.targets}
    verdict = certificate.verdict
    message = f"conforms to {' and '.join(sorted(dialects))}" if verdict == "conforms" else verdict
    name, colour = COLOURS[verdict]
    if Path(file).suffix == ".json":
        return json.dumps({"schemaVersion": 1, "label": LABEL, "message": message, "color": name}) + "\n"
    return _draw(message, colour)


def _draw(message: str, colour: str) -> str:
    left, right = (round(SIGN * len(text)) + 2 * PADDING for text in (LABEL, message))
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(left + right), height=str(HEIGHT), role="img")
    ET.SubElement(svg, "title").text = f"{LABEL}: {message}"
    for start, width, text, fill in ((0, left, LABEL, "#555"), (left, right, message, colour)):
        ET.SubElement(svg, "rect", x=str(start), width=str(width), height=str(HEIGHT), fill=fill)
        words = ET.SubElement(svg, "text", {
            "x": str(start + PADDING), "y": "14", "textLength": str(width - 2 * PADDING), "fill": "#fff",
            "font-family": "Verdana,DejaVu Sans,sans-serif", "font-size": "11",
        })  # fmt: skip
        words.text = text
    return ET.tostring(svg, encoding="unicode") + "\n"
