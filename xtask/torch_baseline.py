#!/usr/bin/env python3
"""A dense video encoder of the base model's size in PyTorch, for `cargo xtask bench` to be held against.

The same work as `bench --modes dense`: 12 layers of width 768, a learnable relative position bias of every
layer added to the scores of `scaled_dot_product_attention`, layer scale, GELU. Nothing is pruned, and nothing is sparse:
what an optimised dense implementation reaches on this device. The report has the form of `bench --json`, so that
`cargo xtask bench --compare baseline.json ours.json` takes it.

    python3 xtask/torch_baseline.py --device cuda --precision bf16 --batch 32 --frames 4,8,16 --backward --json torch.json
"""

import argparse
import datetime
import json
import time

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS, INNER, LAYERS, GRID, PATCH = 768, 12, 3072, 12, 14, 16


def bias_rows(frames):
    """Indices [S, S] into a table of (2T-1)(2·14-1)² + 3 rows; the last three belong to the class token."""
    side = 2 * GRID - 1
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(GRID), torch.arange(GRID), indexing="ij")
    coords = ((t * side + y) * side + x).flatten()
    centre = ((frames - 1) * side + GRID - 1) * side + GRID - 1
    rows = (2 * frames - 1) * side * side + 3
    tokens = coords.numel() + 1
    index = torch.empty(tokens, tokens, dtype=torch.long)
    index[1:, 1:] = coords[:, None] - coords[None, :] + centre
    index[0, 1:], index[1:, 0], index[0, 0] = rows - 3, rows - 2, rows - 1
    return index, rows


class Layer(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.table = nn.Parameter(torch.zeros(rows, HEADS))
        self.scales = nn.Parameter(torch.full((2, WIDTH), 0.1))

    def forward(self, x, index):
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(batch, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        bias = self.table[index.flatten()].view(tokens, tokens, HEADS).permute(2, 0, 1)[None].to(q.dtype)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).reshape(batch, tokens, WIDTH)
        x = x + self.scales[0] * self.out(seen)
        return x + self.scales[1] * self.down(F.gelu(self.up(self.after(x))))


class Encoder(nn.Module):
    def __init__(self, frames):
        super().__init__()
        index, rows = bias_rows(frames)
        self.register_buffer("index", index)
        self.patches = nn.Linear(3 * PATCH * PATCH, WIDTH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.layers = nn.ModuleList(Layer(rows) for _ in range(LAYERS))

    def forward(self, cut):
        x = torch.cat([self.token.expand(cut.shape[0], -1, -1), self.patches(cut)], 1)
        for layer in self.layers:
            x = layer(x, self.index)
        return x


def gflop(frames):
    """Forward, 2 per multiplication and addition: patches, products and attention of every layer."""
    n = frames * GRID * GRID
    layer = 24 * (n + 1) * WIDTH * WIDTH + 4 * (n + 1) ** 2 * WIDTH
    return (2 * n * 3 * PATCH * PATCH * WIDTH + LAYERS * layer) / 1e9


def sync(device):
    if device == "cuda":
        torch.cuda.synchronize()


def timed(work, repeats, device):
    work()
    seconds = []
    for _ in range(repeats):
        sync(device)
        start = time.perf_counter()
        work()
        sync(device)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)


def peak(device, dtype):
    """GFLOP/s of the best of ten 1536³ products, as `bench` measures it."""
    a, b = (torch.rand(1536, 1536, device=device, dtype=dtype) for _ in range(2))
    return 2 * 1536**3 / timed(lambda: a @ b, 10, device)[0] / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--frames", default="4,8", help="frames per clip, one or more")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backward", action="store_true", help="time forward and backward, too")
    parser.add_argument("--json", help="write the report to this file")
    args = parser.parse_args()
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    top, rows = peak(args.device, dtype), []
    for frames in map(int, args.frames.split(",")):
        encoder = Encoder(frames).to(args.device)
        cut = torch.rand(args.batch, frames * GRID * GRID, 3 * PATCH * PATCH, device=args.device)
        cast = torch.autocast(args.device, dtype=dtype, enabled=args.precision == "bf16")

        def forward():
            with torch.no_grad(), cast:
                encoder(cut)

        def backward():
            with cast:
                loss = encoder(cut).float().mean()
            encoder.zero_grad(set_to_none=True)
            loss.backward()

        for name, passes, work in [("forward", 1, forward), ("forward_backward", 3, backward)]:
            if name != "forward" and not args.backward:
                continue
            if args.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds = timed(work, args.repeats, args.device)
            median = seconds[len(seconds) // 2]
            rate = passes * gflop(frames) * args.batch / median
            memory = torch.cuda.max_memory_reserved() / 1e6 if args.device == "cuda" else 0.0
            rows.append({
                "mode": "dense", "frames": frames, "direction": name, "batch": args.batch, "median_s": median,
                "min_s": seconds[0], "max_s": seconds[-1], "clips_per_s": args.batch / median, "gflops": rate,
                "share_of_peak": rate / top, "peak_memory_mb": 0.0, "device_memory_mb": memory,
            })
            print(f"dense, {frames}, {name}: {median:.3f} s ({seconds[0]:.3f} to {seconds[-1]:.3f}), "
                  f"{args.batch / median:.2f} clips/s, {rate:.0f} GFLOP/s, {memory:.0f} MB")
    print(f"matrix product, best of ten 1536³: {top:.0f} GFLOP/s")
    if args.json:
        name = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        report = {
            "backend": f"PyTorch {torch.__version__} on {name}", "gemm_peak_gflops": top,
            "threads": torch.get_num_threads(), "precision": args.precision,
            "machine": {"cpu": name, "date": today}, "rows": rows,
        }
        with open(args.json, "w") as file:
            json.dump(report, file, indent=2)


if __name__ == "__main__":
    main()
