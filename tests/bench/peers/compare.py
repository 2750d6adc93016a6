"""Times Mixspan and PyTorch in turns on one machine and prints tables for docs/performance.md.

    compare.py BENCH_TURNS [attention] [step] [--precision fp32,bf16] [--turns 20] [--write docs/performance.md]

The same work goes to all, a turn each, so that a slow minute of the machine falls on all: Mixspan and PyTorch, each in
fp32 and with products of bf16 (Mixspan's train.precision = "bf16", PyTorch's autocast). Of PyTorch's ways to do it
(torch_turns.py) the one with the best median of three turns is compared. Run it through tests/bench/peers/run.
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

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
        # The threads of the program before look for more work for some milliseconds (OpenMP's spin), which would
        # be taken from this one's time.
        time.sleep(0.05)
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


def our_command(bench_turns, precision, arguments):
    return [bench_turns, *(["bf16"] if precision == "bf16" else []), *arguments]


def variants_of(arguments):
    if arguments[-1] in ("full", "all"):
        return ["causal", "causal+compile"]
    if arguments[0] == "step":  # the two that are fastest for attention alone
        return ["chunked", "folded", "folded+compile"]
    # Compiling a mask or a loop only changes what is not attention; it takes minutes for each shape.
    return ["boolean", "float", "chunked", "wide", "folded", "folded+compile"]


def best_variant(precision, arguments):
    """The fastest of PyTorch's ways, as torch_turns.py names it."""
    medians = {}
    for way in variants_of(arguments):
        variant = way + ("+bf16" if precision == "bf16" else "")
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


def compare(options, name, arguments, wanted):
    print(name, file=sys.stderr)
    variants = {precision: best_variant(precision, arguments) for precision in options.precision}
    programs = {}  # (side, precision), each of which gets its turn
    for precision, variant in variants.items():
        programs["ours", precision] = Program(our_command(options.bench_turns, precision, arguments))
        programs["theirs", precision] = Program(torch_command(variant, arguments))
    alike = {(program.threads, program.parameters) for program in programs.values()}
    if len(alike) != 1:
        raise SystemExit(f"{name}: threads and parameters differ: {alike}")
    times = {key: [] for key in programs}
    for _ in range(options.turns):
        for key, program in programs.items():
            times[key].append(program.turn())
    memory = {key: program.end() for key, program in programs.items()}
    medians = {key: statistics.median(of) for key, of in times.items()}

    row = [name]
    for precision, variant in variants.items():
        mine, other = ("ours", precision), ("theirs", precision)
        row += [f"{1e3 * medians[key]:.1f} (±{100 * spread(times[key]):.0f} %)" for key in (mine, other)]
        row += [variant.removesuffix("+bf16"), verdict(medians[other] / medians[mine], wanted)]
    if len(variants) == 2:  # what a user gains who has been training in fp32 there
        row.append(verdict(medians["theirs", "fp32"] / medians["ours", "bf16"], wanted))
    if arguments[0] == "step":
        for without in (1, 0):
            row += [
                " / ".join(f"{(peak - empty * without) / 2**20:.0f}"
                           for empty, peak in (memory[side, precision] for side in ("ours", "theirs")))
                for precision in variants
            ]
    print("  " + " | ".join(row), file=sys.stderr)
    return row


def verdict(ratio, wanted):
    if wanted is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({wanted:g}: " + ("met)" if ratio >= wanted else "not met)")


def columns_of(kind, first, precisions):
    columns = [first]
    for precision in precisions:
        columns += [f"Mixspan {precision}, ms", f"PyTorch {precision}, ms", "PyTorch's fastest way", "ratio (wanted)"]
    if len(precisions) == 2:
        columns.append("Mixspan bf16 against PyTorch fp32 (wanted)")
    if kind == "step":
        columns += [f"MiB {what}, Mixspan / PyTorch, {precision}"
                    for what in ("for the work", "in all") for precision in precisions]
    return columns


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench_turns")
    parser.add_argument("sets", nargs="*", default=["attention", "step"])
    parser.add_argument("--precision", type=lambda text: text.split(","), default=["fp32", "bf16"],
                        help="fp32, bf16 or both: fp32,bf16")
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
    for kind, first, cases in (
        ("attention", "attention forward + backward, one sequence, width 768", ATTENTION),
        ("step", "training step", STEP),
    ):
        if kind in options.sets:
            rows = [compare(options, *case) for case in cases if options.only in case[0]]
            parts.append(table(columns_of(kind, first, options.precision), rows))
    text = "\n\n".join(parts)
    print(text)
    if options.write and not options.only:
        old = options.write.read_text()
        head, rest = old.split(BEGIN, 1)
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


main()
