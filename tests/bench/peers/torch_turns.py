"""The work of bench_turns (tests/bench/turns.cpp) in PyTorch, with the same protocol on stdin and stdout.

    torch_turns.py VARIANT attention B T N H SPAN
    torch_turns.py VARIANT step LAYERS WIDTH HEADS T VOCAB TOKENS SPAN FULL_LAYERS

VARIANT: how a sliding window is computed, and whether torch.compile sees it:
  causal   scaled_dot_product_attention(is_causal=True); full layers only
  boolean  with a (T, T) mask of booleans
  float    with a (T, T) mask of 0 and -inf
  chunked  a loop over blocks of as many queries as the window, each with the keys it can see and a mask for the edges
  wide     the same with blocks four times as long
  folded   blocks as in chunked, but as a batch, in one call
each also as VARIANT+compile, and all of them as VARIANT+bf16: forward and loss under torch.autocast, weights, gradients
and the optimizer in fp32; attention alone gets bf16 tensors, as autocast's products would hand them over. Full attention
is always is_causal.
"""

import contextlib
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

THREADS = int(os.environ.get("PEER_THREADS", "2"))


def peak_bytes():
    with open("/proc/self/status", encoding="ascii") as status:  # getrusage would count the parent's too
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def window_mask(queries, keys, window, kind):
    """True (or 0) where query i reads key j: i - window < j <= i. `queries`, `keys`: positions."""
    i, j = queries[:, None], keys[None, :]
    seen = (j <= i) & (j > i - window) & (j >= 0)
    if kind == "boolean":
        return seen
    return torch.zeros(seen.shape).masked_fill(~seen, -math.inf)


def dense(window, T, kind):
    positions = torch.arange(T)
    mask = window_mask(positions, positions, window, kind)
    typed = {mask.dtype: mask}  # a mask of numbers has the type of what it is added to

    def attention(q, k, v):
        key = mask.dtype if mask.dtype == torch.bool else q.dtype
        if key not in typed:
            typed[key] = mask.to(key)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=typed[key])

    return attention


def chunked(window, T, block):
    masks, ranges = [], []
    for begin in range(0, T, block):
        first, end = max(0, begin - window + 1), min(T, begin + block)
        ranges.append((begin, first, end))
        masks.append(window_mask(torch.arange(begin, end), torch.arange(first, end), window, "boolean"))

    def attention(q, k, v):
        out = [
            F.scaled_dot_product_attention(q[:, :, begin:end], k[:, :, first:end], v[:, :, first:end], attn_mask=mask)
            for (begin, first, end), mask in zip(ranges, masks)
        ]
        return torch.cat(out, dim=2)

    return attention


def folded(window, T):
    if T % window:
        raise SystemExit(f"folded: {T} is not a multiple of {window}")
    blocks = T // window
    relative = torch.arange(window)
    keys = torch.arange(-window, window)
    inner = window_mask(relative + window, keys + window, window, "boolean")
    mask = inner.repeat(blocks, 1, 1)
    mask[0, :, :window] = False  # before the first token there is nothing
    mask = mask[:, None]

    def attention(q, k, v):
        B, N, _, H = q.shape

        def with_previous(x):  # (B * blocks, N, 2 * window, H)
            x = x.view(B, N, blocks, window, H)
            before = F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1]
            return torch.cat([before, x], dim=3).transpose(1, 2).reshape(B * blocks, N, 2 * window, H)

        queries = q.view(B, N, blocks, window, H).transpose(1, 2).reshape(B * blocks, N, window, H)
        o = F.scaled_dot_product_attention(queries, with_previous(k), with_previous(v), attn_mask=mask.repeat(B, 1, 1, 1))
        return o.view(B, blocks, N, window, H).transpose(1, 2).reshape(B, N, T, H)

    return attention


def causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def attention_of(span, T, variant):
    """A function of q, k, v (B, N, T, H)."""
    if span == "full":
        return causal
    kind, window = span.split(":")
    if kind != "sliding" or variant == "causal":
        raise SystemExit(f"no {variant} for {span}")
    window = int(window)
    if variant in ("boolean", "float"):
        return dense(window, T, variant)
    if variant == "folded":
        return folded(window, T)
    return chunked(window, T, {"chunked": 1, "wide": 4}[variant] * window)


class Block(nn.Module):
    def __init__(self, width, heads, attention):
        super().__init__()
        self.heads, self.attention = heads, attention
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (
            y.view(B, T, self.heads, C // self.heads).transpose(1, 2) for y in self.qkv(self.ln_1(x)).split(C, dim=2)
        )
        o = self.attention(q, k, v).transpose(1, 2).reshape(B, T, C)
        x = x + self.out(o)
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class Model(nn.Module):
    """The GPT-Neo-like model of docs/architecture.md: learned positions, tied head, pre-norm."""

    def __init__(self, layers, width, heads, T, vocab, attentions):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(T, width)
        self.blocks = nn.ModuleList(Block(width, heads, attentions[layer]) for layer in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def full_layers_of(text, layers):
    if text in ("none", "all"):
        return set() if text == "none" else set(range(layers))
    if text.startswith("bottom:"):
        return set(range(int(text.removeprefix("bottom:"))))
    return {int(layer) for layer in text.split(",")}


def products_in(bf16):
    return torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()


def step_turn(variant, options, words):
    layers, width, heads, T, vocab, tokens = (int(w) for w in words[:6])
    span, full = words[6], full_layers_of(words[7], layers)
    attentions = [attention_of("full" if layer in full else span, T, variant) for layer in range(layers)]
    model = Model(layers, width, heads, T, vocab, attentions)
    forward = torch.compile(model) if "compile" in options else model
    decay = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)
    # As many rows at a time as PEER_MICRO_ROWS says; fewer means smaller tensors, which caches may like.
    micro = min(tokens // T, int(os.environ.get("PEER_MICRO_ROWS", "1000000")))

    def turn():
        batch = torch.randint(vocab, (tokens // T, T + 1))
        begin = time.perf_counter()
        for row in range(0, tokens // T, micro):
            part = batch[row : row + micro]
            with products_in("bf16" in options):
                loss = forward(part[:, :-1], part[:, 1:])
            (loss * (part.shape[0] / batch.shape[0])).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        return f"{time.perf_counter() - begin}"

    return turn, sum(p.numel() for p in model.parameters())


def attention_turn(variant, options, words):
    B, T, N, H = (int(w) for w in words[:4])
    attention = attention_of(words[4], T, variant)
    if "compile" in options:
        attention = torch.compile(attention)
    dtype = torch.bfloat16 if "bf16" in options else torch.float32
    # As a layer hands them over: parts of one product, seen by head.
    qkv = torch.randn(B, T, 3 * N * H, dtype=dtype, requires_grad=True)
    do = torch.randn(B, T, N * H, dtype=dtype)

    def turn():
        qkv.grad = None
        begin = time.perf_counter()
        q, k, v = (x.view(B, T, N, H).transpose(1, 2) for x in qkv.split(N * H, dim=2))
        o = attention(q, k, v).transpose(1, 2).reshape(B, T, N * H)
        middle = time.perf_counter()
        o.backward(do)
        return f"{middle - begin} {time.perf_counter() - middle}"

    return turn, 0


def main(words):
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    variant, *options = words[0].split("+")
    empty = peak_bytes()
    make = {"attention": attention_turn, "step": step_turn}[words[1]]
    turn, parameters = make(variant, options, words[2:])
    for _ in range(3):  # compiles, touches the memory
        turn()
    print("ready", torch.get_num_threads(), parameters, flush=True)
    for _ in sys.stdin:
        print(turn(), flush=True)
    print("peak", empty, peak_bytes(), flush=True)


main(sys.argv[1:])
