#!/usr/bin/env python3
"""Recomputes every number in the tables of `mixspan report DIR` from the runs' own files, with
nothing but Python's standard library, and compares.

    recompute.py DIR TABLES        TABLES: the folder of variants.csv and its neighbours

Prints what differs, then a count of what was compared; exit 1 where anything differs.
"""
import csv
import json
import math
import pathlib
import statistics
import sys
import tomllib

PASSED_OVER = ("log.", "checkpoint.")
PASSED_OVER_KEYS = {"train.max_time", "parallel.timeout_s", "train.seed"}
SPAN_KEYS = {"model.span", "model.full_layers", "model.spans"}


def flat(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def t_density(x, n):
    log = math.lgamma((n + 1) / 2) - math.lgamma(n / 2) - 0.5 * math.log(n * math.pi)
    return math.exp(log - (n + 1) / 2 * math.log1p(x * x / n))


def t_tail(t, n):
    """P(T > t), t >= 0: Simpson's rule after x = sqrt(n) tan(u), which makes the range finite."""
    begin, end, steps = math.atan(t / math.sqrt(n)), math.pi / 2, 2000
    h = (end - begin) / steps

    def f(u):
        c = math.cos(u)
        if c < 1e-12:
            return t_density(0, 1) if n == 1 else 0.0
        return t_density(math.sqrt(n) * math.tan(u), n) * math.sqrt(n) / (c * c)

    total = f(begin) + f(end)
    for i in range(1, steps):
        total += f(begin + i * h) * (4 if i % 2 else 2)
    return total * h / 3


QUANTILES = {}


def t_quantile(n):
    if n not in QUANTILES:
        low, high = 0.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if t_tail(middle, n) > 0.025 else (low, middle)
        QUANTILES[n] = (low + high) / 2
    return QUANTILES[n]


def estimate(values):
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None, None
    half = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def p_value(differences):
    if len(differences) < 2:
        return None
    mean, deviation = math.fsum(differences) / len(differences), statistics.stdev(differences)
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * t_tail(abs(mean) / deviation * math.sqrt(len(differences)), len(differences) - 1)


def holm(ps):
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    out, largest = [None] * len(ps), 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, (len(known) - rank) * p)
        out[i] = min(1.0, largest)
    return out


def slope(points):
    """Exponent of y over x, and its interval."""
    x, y = [math.log(a) for a, _ in points], [math.log(b) for _, b in points]
    n, mx, my = len(x), statistics.fmean(x), statistics.fmean(y)
    sxx = math.fsum((a - mx) ** 2 for a in x)
    b = math.fsum((p - mx) * (q - my) for p, q in zip(x, y)) / sxx
    if len(set(x)) < 3:
        return b, None, None
    rest = math.fsum((q - my - b * (p - mx)) ** 2 for p, q in zip(x, y))
    half = t_quantile(n - 2) * math.sqrt(rest / (n - 2) / sxx)
    return b, b - half, b + half


def placement(text, layers):
    if text in ("none", "all"):
        return set(range(layers)) if text == "all" else set()
    if ":" not in text:
        return {int(part) for part in text.split(",")}
    kind, n = text.split(":")
    n = int(n)
    first = {"bottom": 0, "middle": (layers - n) // 2, "top": layers - n}.get(kind)
    if kind == "spaced":
        return {k * layers // n for k in range(n)}
    return set(range(first, first + n))


def layer_spans(model):
    if model["spans"]:
        return list(model["spans"])
    full = placement(model["full_layers"], model["layers"])
    return ["full" if l in full else model["span"] for l in range(model["layers"])]


def pairs(span, context):
    """Visible (query, key) pairs, one query after the other."""
    kind, _, size = span.partition(":")
    size = int(size or 0)
    lows = {
        "full": lambda i: 0,
        "sliding": lambda i: max(0, i - size + 1),
        "block": lambda i: i // size * size,
        "block-prev": lambda i: max(0, (i // size - 1) * size),
    }
    return sum(i - lows[kind](i) + 1 for i in range(context))


def flops_per_token(model):
    width, context = model["width"], model["context"]
    mlp = model["mlp_width"] or 4 * width
    dense = model["layers"] * 2 * (4 * width * width + 2 * width * mlp) + 2 * width * model["vocab"]
    attention = sum(4 * width * pairs(s, context) for s in layer_spans(model)) / context
    return 3 * (dense + attention)


def read_run(folder):
    run = {"config": None, "train": [], "eval": [], "done": (folder / "result.json").exists()}
    with open(folder / "config.toml", "rb") as f:
        run["toml"] = tomllib.load(f)
    run["config"] = dict(flat(run["toml"]))
    if (folder / "metrics.jsonl").exists():
        for line in (folder / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            run[record["kind"]].append(record)
    return run


class Comparer:
    def __init__(self):
        self.compared, self.different = 0, 0

    def same(self, where, got, want):
        self.compared += 1
        if want is None or got == "":
            good = want is None and got == ""
        elif isinstance(want, str):
            good = got == want
        else:
            # fp64 on both sides; the quantiles here are numerical integrals.
            good = math.isclose(float(got), want, rel_tol=1e-8, abs_tol=1e-10)
        if not good:
            self.different += 1
            print(f"{where}: the report says {got!r}, recomputed {want!r}")

    def triple(self, where, row, name, want):
        for suffix, value in zip(("", "_low", "_high"), want):
            self.same(f"{where} {name}{suffix}", row[name + suffix], value)


def read_table(folder, name):
    path = folder / name
    if not path.exists():
        return []
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def shown(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def variant_of(run, rows, keys):
    """The row of variants.csv with this run's values."""
    for row in rows:
        if all(row[k] == shown(run["config"][k]) for k in keys):
            return row
    raise SystemExit(f"no variant for {[run['config'][k] for k in keys]}")


def check_varying(runs, rows, comparer):
    names = list(rows[0])
    keys = names[1:names.index("same_as")]
    varying = {
        k for k in runs[0]["config"]
        if len({json.dumps(r["config"][k]) for r in runs}) > 1 and k not in PASSED_OVER_KEYS
        and not k.startswith(PASSED_OVER)
    }
    comparer.same("keys that vary", ",".join(sorted(keys)), ",".join(sorted(varying)))
    return keys


def check_costs(row, members, comparer):
    where, model = row["variant"], members[0]["toml"]["model"]
    spans = layer_spans(model)
    share = sum(pairs(s, model["context"]) for s in spans) / (
        len(spans) * pairs("full", model["context"]))
    comparer.same(f"{where} attention_share", row["attention_share"], share)
    comparer.same(f"{where} flops_per_token", row["flops_per_token"], flops_per_token(model))
    trained = [m for m in members if m["train"]]
    for name in ("tokens_per_s", "step_ms"):
        medians = [statistics.median(t[name] for t in m["train"]) for m in trained]
        comparer.same(f"{where} {name}", row[name], statistics.fmean(medians) if medians else None)
    most = [t["memory_bytes"] for m in trained for t in m["train"]]
    comparer.same(f"{where} memory_bytes", row["memory_bytes"], float(max(most)) if most else None)
    return share


def check_variants(runs, rows, keys, comparer):
    """Returns variant -> seed -> last evaluation."""
    members = {row["variant"]: [] for row in rows}
    for run in runs:
        members[variant_of(run, rows, keys)["variant"]].append(run)
    last, shares = {}, {}
    for row in rows:
        name = row["variant"]
        mine = members[name]
        last[name] = {
            r["config"]["train.seed"]: r["eval"][-1]
            for r in mine if r["done"] and r["eval"] and r["eval"][-1]["loss"] is not None
        }
        comparer.same(f"{name} runs", row["runs"], str(len(mine)))
        comparer.same(f"{name} n", row["n"], str(len(last[name])))
        for key in ("loss", "bits_per_byte", "accuracy"):
            values = [e.get(key) for e in last[name].values()]
            known = values and None not in values
            comparer.triple(name, row, key, estimate(values) if known else (None,) * 3)
        loss = estimate([e["loss"] for e in last[name].values()]) if last[name] else (None,) * 3
        comparer.triple(name, row, "perplexity", [v if v is None else math.exp(v) for v in loss])
        shares[name] = check_costs(row, mine, comparer)
    settings = {
        row["variant"]: tuple(row[k] for k in keys if k not in SPAN_KEYS) for row in rows
    }
    models = {
        row["variant"]: (settings[row["variant"]], tuple(
            s if pairs(s, model["context"]) < pairs("full", model["context"]) else "full"
            for s in layer_spans(model)))
        for row in rows for model in [members[row["variant"]][0]["toml"]["model"]]
    }
    stands = {}
    for name, model in models.items():
        if model not in stands or len(last[name]) > len(last[stands[model]]):
            stands[model] = name
    for row in rows:
        one = stands[models[row["variant"]]]
        comparer.same(f"{row['variant']} same_as", row["same_as"],
                      None if one == row["variant"] else one)
    check_comparisons(rows, last, shares, settings, comparer)
    return last


def check_comparisons(rows, last, shares, settings, comparer):
    ps = []
    for row in rows:
        name, base = row["variant"], row["baseline"]
        candidates = [v for v in last if shares[v] == 1 and last[v] and settings[v] == settings[name]]
        wanted = shares[name] < 1 and row["same_as"] == "" and any(last[name].keys() & last[v].keys() for v in candidates)
        comparer.same(f"{name} is compared", str(base != ""), str(wanted))
        if base == "":
            continue
        comparer.same(f"{name} baseline", str(base in candidates), "True")
        seeds = sorted(last[name].keys() & last[base].keys())
        differences = [last[name][s]["loss"] - last[base][s]["loss"] for s in seeds]
        comparer.same(f"{name} pairs", row["pairs"], str(len(seeds)))
        comparer.triple(name, row, "difference", estimate(differences))
        ps.append(p_value(differences))
        comparer.same(f"{name} p", row["p"], ps[-1])
    adjusted = iter(holm(ps))
    for row in rows:
        if row["baseline"] != "":
            comparer.same(f"{row['variant']} p_holm", row["p_holm"], next(adjusted))


def check_runs(folders, rows, comparer):
    by_name = {row["run"]: row for row in rows}
    for name, run in folders.items():
        row = by_name[name]
        evaluation, train = run["eval"][-1] if run["eval"] else {}, run["train"]
        for key in ("loss", "perplexity", "bits_per_byte", "accuracy"):
            comparer.same(f"{name} {key}", row[key], evaluation.get(key))
        for key in ("tokens_per_s", "step_ms"):
            middle = statistics.median(t[key] for t in train) if train else None
            comparer.same(f"{name} {key}", row[key], middle)
        most = float(max(t["memory_bytes"] for t in train)) if train else None
        comparer.same(f"{name} memory_bytes", row["memory_bytes"], most)
        comparer.same(f"{name} seed", row["seed"], str(run["config"]["train.seed"]))


def check_layers(rows, last, comparer):
    for row in rows:
        a, b = last[row["with"]], last[row["without"]]
        seeds = sorted(a.keys() & b.keys())
        gains = [b[s]["loss"] - a[s]["loss"] for s in seeds]
        where = f"{row['family']}, layer {row['layer']}"
        comparer.same(f"{where} pairs", row["pairs"], str(len(seeds)))
        comparer.triple(where, row, "gain", estimate(gains))


def check_positions(rows, last, comparer):
    for row in rows:
        losses = [
            part["loss"] for e in last[row["variant"]].values() for part in e["by_position"]
            if (str(part["begin"]), str(part["end"])) == (row["begin"], row["end"])
            and part["loss"] is not None
        ]
        where = f"{row['variant']} at {row['begin']}"
        comparer.same(f"{where} n", row["n"], str(len(losses)))
        comparer.triple(where, row, "loss", estimate(losses))


def check_scaling(rows, variants, comparer):
    lines = {}
    for row in rows:
        lines.setdefault(row["line"], []).append(row)
    for name, points in lines.items():
        for column, what in (("us_per_token", "time"), ("memory_bytes", "memory")):
            xy = [(float(r["context"]), float(r[column])) for r in points]
            comparer.triple(name, points[0], f"{what}_exponent", slope(xy))
    known = {row["memory_bytes"] for row in variants}
    for row in rows:
        comparer.same(f"{row['line']} memory is a variant's", str(row["memory_bytes"] in known),
                      "True")


def main(folder, tables):
    base = folder / "runs" if (folder / "runs").is_dir() else folder
    folders = {
        p.parent.relative_to(base).as_posix(): read_run(p.parent)
        for p in sorted(base.rglob("config.toml")) if "checkpoints" not in p.parts
    }
    planned = []
    for path in sorted((folder / "configs").glob("*.toml")):
        if path.stem not in folders:
            toml = tomllib.loads(path.read_text())
            planned.append({"toml": toml, "config": dict(flat(toml)), "train": [], "eval": [],
                            "done": False})
    comparer = Comparer()
    runs = list(folders.values()) + planned
    variants = read_table(tables, "variants.csv")
    keys = check_varying(runs, variants, comparer)
    last = check_variants(runs, variants, keys, comparer)
    check_runs(folders, read_table(tables, "runs.csv"), comparer)
    check_layers(read_table(tables, "layers.csv"), last, comparer)
    check_positions(read_table(tables, "positions.csv"), last, comparer)
    check_scaling(read_table(tables, "scaling.csv"), variants, comparer)
    print(f"{comparer.compared} values compared, {comparer.different} different")
    return 1 if comparer.different or comparer.compared < 100 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
