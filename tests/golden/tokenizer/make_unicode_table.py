"""Writes data/unicode_table.cpp: the classes of Unicode that GPT-2's splitting pattern asks for.

Usage: python make_unicode_table.py            (needs the package `tokenizers`)

The classes are read off the pattern engine inside `tokenizers` itself, so that the table agrees with
Hugging Face whatever Unicode version this machine's own libraries have.
"""

import pathlib

import tokenizers
from tokenizers import Regex, pre_tokenizers

LAST = 0x10FFFF
CLASSES = {"letter": (1, r"\p{L}"), "number": (2, r"\p{N}"), "space": (3, r"\s")}
HEADER = """\
// Made by tests/golden/tokenizer/make_unicode_table.py from `tokenizers` {version} (Unicode 16.0): do
// not edit. Each entry starts a run of code points: first code point * 4 + class
// (unicode_classes.h).
#include "data/unicode_classes.h"

namespace mixspan {{

// clang-format off
const std::uint32_t kUnicodeRuns[] = {{
"""
FOOTER = """\
}};
// clang-format on
const std::size_t kUnicodeRunCount = {count};

}}  // namespace mixspan
"""


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for low in range(0, LAST + 1, 0x1000):
        points = [c for c in range(low, low + 0x1000) if not 0xD800 <= c <= 0xDFFF]
        rest = set()
        for piece, _ in split.pre_tokenize_str("".join(map(chr, points))):
            rest.update(map(ord, piece))
        found.update(c for c in points if c not in rest)
    return found


def main():
    classes = bytearray(LAST + 1)
    for number, pattern in CLASSES.values():
        for point in members(pattern):
            classes[point] = number
    runs, last = [], None
    for point, number in enumerate(classes):
        if number != last:
            runs.append(point * 4 + number)
            last = number
    lines, line = [], "   "
    for run in runs:
        item = f" {run:#x},"
        if len(line) + len(item) > 100:
            lines.append(line)
            line = "   "
        line += item
    lines.append(line)
    path = pathlib.Path(__file__).resolve().parents[3] / "data" / "unicode_table.cpp"
    text = HEADER.format(version=tokenizers.__version__) + "\n".join(lines) + "\n"
    path.write_text(text + FOOTER.format(count=len(runs)))
    print(f"{path.name}: {len(runs)} runs")


main()
