#!/usr/bin/env python3
"""Our encoder and PyTorch's on one CPU, taking turns: medians over rounds, in every precision.

Machines are shared, and a figure of one minute says little about the next. Every round runs each program once; the table
relates what ran side by side.

    cargo build --release -p svitt-workshop
    python3 xtask/beside_torch.py --frames 4,8 --rounds 5 --json beside.json
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def report(command, folder):
    """The JSON report of one run of `command`."""
    file = os.path.join(folder, "report.json")
    subprocess.run([*command, "--json", file], check=True, stdout=subprocess.DEVNULL)
    with open(file) as content:
        return json.load(content)


def programs(args):
    """Name and command of everything that takes a turn."""
    shared = ["--frames", args.frames, "--repeats", str(args.repeats)] + (["--backward"] if args.backward else [])
    for precision in args.precisions.split(","):
        if precision != "int8":
            torch = [sys.executable, os.path.join(HERE, "torch_baseline.py"), "--device", "cpu"]
            yield f"PyTorch {precision}", [*torch, "--precision", precision, *shared]
        if precision == "int8" and args.backward:
            shared = [word for word in shared if word != "--backward"]
        ours = [args.program, "bench", "--backend", "flex", "--modes", "dense,hybrid"]
        yield f"svitt {precision}", [*ours, "--precision", precision, *shared]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=os.path.join(HERE, "../target/release/svitt-workshop"))
    parser.add_argument("--precisions", default="f32,bf16,int8")
    parser.add_argument("--frames", default="4,8", help="frames per clip, one or more")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="timed forwards per program and round")
    parser.add_argument("--backward", action="store_true", help="time forward and backward, too")
    parser.add_argument("--json", help="write the table to this file")
    args = parser.parse_args()
    seconds, peaks = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            for name, command in programs(args):
                run = report(command, folder)
                peaks.setdefault(name, []).append(run["gemm_peak_gflops"])
                for row in run["rows"]:
                    key = (row["mode"], row["frames"], row["direction"])
                    cell = seconds.setdefault(key, {}).setdefault(name, {"seconds": [], "shares": []})
                    cell["seconds"].append(row["median_s"])
                    cell["shares"].append(row["share_of_peak"])
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    rows = []
    for (mode, frames, direction), cells in sorted(seconds.items()):
        base = statistics.median(cells["svitt f32"]["seconds"]) if "svitt f32" in cells else None
        for name, cell in cells.items():
            median = statistics.median(cell["seconds"])
            rows.append({
                "mode": mode, "frames": frames, "direction": direction, "program": name, "median_s": round(median, 4),
                "min_s": round(min(cell["seconds"]), 4), "max_s": round(max(cell["seconds"]), 4),
                "share_of_peak": round(statistics.median(cell["shares"]), 3),
                "times_f32": round(base / median, 2) if base else None,
            })
            row = rows[-1]
            print(f"{mode:6} T={frames} {direction:16} {name:12} {median:.3f} s ({row['min_s']:.3f} to {row['max_s']:.3f}), "
                  f"{100 * row['share_of_peak']:.0f} % of its peak, {row['times_f32']} times our f32")
    medians = {name: round(statistics.median(values), 1) for name, values in peaks.items()}
    print("matrix products, GFLOP/s:", ", ".join(f"{name} {value:.0f}" for name, value in medians.items()))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"rounds": args.rounds, "peaks_gflops": medians, "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
