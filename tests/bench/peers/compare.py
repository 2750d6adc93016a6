"""Times Mixspan and PyTorch in turns on one machine and prints tables for docs/performance.md.

    compare.py BENCH_TURNS [attention] [step] [--turns 20] [--write docs/performance.md]

The same work goes to both, a turn each, so that a slow minute of the machine falls on both. Of PyTorch's ways to do it
(torch_turns.py) the one with the best median of three turns is compared. Run it through tests/bench/peers/run.
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- written by tests/bench/peers/run: begin -->", "<!-- end -->"

# What, arguments, wanted ratio of medians.
def wanted_of_attention(span, T):
    if span == "full":
        return 1.3
    return 3.0 if T == 4096 else None


ATTENTION = [
    (f"{span}, T = {T}, heads of {H}", ["attention", "1", str(T), str(768 // H), str(H), span], wanted_of_attention(span, T))
    for H in (64, 128)
    for T in (1024, 4096)
    for span in ("full", "sliding:256")
]
STEP = [
    (f"width {width}, 6 layers, {what}, T = {T}",
     ["step", "6", str(width), str(width // 64), str(T), "4096", str(tokens), "sliding:128", full], wanted)
    for width in (256, 384, 768)
    for what, T, tokens, full, wanted in (
        ("all full", 1024, 2048, "all", 1.3),
        ("2 full, 4 sliding:128", 4096, 4096, "bottom:2", 2.5),
    )
]
STEP.append(("GPT-2 124M, all full, T = 1024",
             ["step", "12", "768", "12", "1024", "50257", "1024", "sliding:128", "all"], 1.3))


class Program:
    """One side: a process that measures once for each line it is sent."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline().split()
        if not ready or ready[0] != "ready":
            raise RuntimeError(f"{' '.join(command)}: did not start")
        self.threads, self.parameters = (int(x) for x in ready[1:])

    def turn(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return sum(float(x) for x in self.process.stdout.readline().split())

    def end(self):
        """The most memory the process held, in bytes: before it was given work, and in all."""
        self.process.stdin.close()
        word, empty, peak = self.process.stdout.readline().split()
        assert word == "peak"
        self.process.wait()
        return int(empty), int(peak)


def torch_command(variant, arguments):
    return [sys.executable, str(HERE / "torch_turns.py"), variant, *arguments]


def variants_of(arguments):
    if arguments[-1] in ("full", "all"):
        return ["causal", "causal+compile"]
    if arguments[0] == "step":  # the two that are fastest for attention alone
        return ["chunked", "folded", "folded+compile"]
    # Compiling a mask or a loop only changes what is not attention; it takes minutes for each shape.
    return ["boolean", "float", "chunked", "wide", "folded", "folded+compile"]


def best_variant(arguments):
    medians = {}
    for variant in variants_of(arguments):
        try:
            program = Program(torch_command(variant, arguments))
        except RuntimeError as error:
            print(f"  {error}", file=sys.stderr)
            continue
        medians[variant] = statistics.median(program.turn() for _ in range(3))
        program.end()
        print(f"  {variant}: {1e3 * medians[variant]:.1f} ms", file=sys.stderr)
    return min(medians, key=medians.get)


def spread(times):
    """Half the distance between the quartiles, as a share of the median."""
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / 2 / middle


def compare(bench_turns, name, arguments, wanted, turns):
    print(name, file=sys.stderr)
    variant = best_variant(arguments)
    ours, theirs = Program([bench_turns, *arguments]), Program(torch_command(variant, arguments))
    if ours.threads != theirs.threads or ours.parameters != theirs.parameters:
        raise SystemExit(
            f"{name}: {ours.threads} and {theirs.threads} threads, {ours.parameters} and {theirs.parameters} parameters"
        )
    times = [(ours.turn(), theirs.turn()) for _ in range(turns)]
    mine, other = ([t[side] for t in times] for side in (0, 1))
    ratio = statistics.median(other) / statistics.median(mine)
    verdict = "" if wanted is None else f"{wanted:g}: " + ("met" if ratio >= wanted else "not met")
    memory = [ours.end(), theirs.end()]
    row = [name, f"{1e3 * statistics.median(mine):.1f} (±{100 * spread(mine):.0f} %)",
           f"{1e3 * statistics.median(other):.1f} (±{100 * spread(other):.0f} %)", variant, f"{ratio:.2f}", verdict]
    if arguments[0] == "step":
        work, in_all = ([f"{(peak - empty * without) / 2**20:.0f}" for empty, peak in memory] for without in (1, 0))
        row += [f"{work[0]} / {work[1]}", f"{in_all[0]} / {in_all[1]}"]
    print("  " + " | ".join(row), file=sys.stderr)
    return row


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench_turns")
    parser.add_argument("sets", nargs="*", default=["attention", "step"])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose name has this in it; nothing is written then")
    parser.add_argument("--write", type=pathlib.Path, help="replace the tables in this file")
    options = parser.parse_intermixed_args()
    import torch

    build = subprocess.run(
        ["git", "-C", str(HERE), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    parts = [
        f"Mixspan {build}, PyTorch {torch.__version__}, Python {platform.python_version()}, "
        f"{os.environ.get('PEER_THREADS', '2')} threads each; medians of {options.turns} turns taken alternately, "
        "± half the distance of the quartiles."
    ]
    common = ["Mixspan, ms", "PyTorch, ms", "PyTorch's fastest way", "ratio", "wanted"]
    for kind, first, cases, more in (
        ("attention", "attention forward + backward, one sequence, width 768", ATTENTION, []),
        ("step", "training step", STEP, ["MiB for the work, Mixspan / PyTorch", "MiB in all"]),
    ):
        if kind in options.sets:
            rows = [compare(options.bench_turns, *case, options.turns) for case in cases if options.only in case[0]]
            parts.append(table([first, *common, *more], rows))
    text = "\n\n".join(parts)
    print(text)
    if options.write and not options.only:
        old = options.write.read_text()
        head, rest = old.split(BEGIN, 1)
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


main()
