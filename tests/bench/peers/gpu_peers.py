"""What PyTorch does on the same GPU: attention by its fused kernels, and a training step of the 1.3B mixed model.

    gpu_peers.py [step [T...]] [attention]     both by default; without a GPU or PyTorch one line, and exit code 77

Attention at B = 1, 2048 channels, bf16: FlashAttention 2 and cuDNN behind scaled_dot_product_attention (full causal),
FlexAttention compiled (full causal and sliding windows). Median of 20 runs with a cold L2 cache, random data; useful
TFLOP/s count visible pairs, 4 d for each forward and 10 d backward, as bench_cuda_attention does.
Step: 24 layers of width 2048 with 16 heads, MLP 8192 with GELU, vocabulary 50304, tied; 4 full layers and 20 with a
window of 512; T tokens (8192), forward, backward, clipping, fused AdamW on fp32 weights under bf16 autocast; blocks and
head compiled. In a bundle (scripts/bundle) bench_cuda_step takes turns with it, a step each, so that a slow minute of
the machine falls on both; where the memory is too small for both at once, one after the other. MFU is over the
datasheet's peak, with the operations that the step's mathematics needs (experiments/cost/flops.h).
"""

import pathlib
import statistics
import subprocess
import sys
import time

WIDTH, FLUSH_BYTES, RUNS = 2048, 256 << 20, 20
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}


def skip(why):
    print(f"gpu_peers.py: {why}")
    raise SystemExit(77)


try:
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
except ImportError as e:
    skip(f"no PyTorch: {e}")
if not torch.cuda.is_available():
    skip("PyTorch sees no GPU")

flex = torch.compile(flex_attention, dynamic=False)


def median_ms(run, runs=RUNS):
    flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda")
    times = []
    for i in range(-2, runs):
        flush.fill_(i)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        if i >= 0:
            times.append(begin.elapsed_time(end))
    return sorted(times)[runs // 2]


def pairs(T, window):
    if window is None:
        return T * (T + 1) / 2
    w = min(window, T)
    return w * T - w * (w - 1) / 2


def causal_window(window):
    def visible(b, h, q, k):
        return (q >= k) & (q - k < window) if window is not None else q >= k

    return visible


def block_mask(T, window):
    return create_block_mask(causal_window(window), None, None, T, T, device="cuda")


def attentions(T, window):
    """Name and function of q, k, v (1, N, T, H) for each way PyTorch has."""

    def fused(backend):
        def run(q, k, v):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        return run

    if window is None:
        yield "SDPA FA2", fused(SDPBackend.FLASH_ATTENTION)
        yield "SDPA cuDNN", fused(SDPBackend.CUDNN_ATTENTION)
    mask = block_mask(T, window)
    yield "Flex", lambda q, k, v: flex(q, k, v, block_mask=mask)


def attention_row(name, attention, T, H, window):
    N = WIDTH // H
    qkv = torch.randn(1, T, 3 * WIDTH, device="cuda", dtype=torch.bfloat16)
    q, k, v = (
        x.view(1, T, N, H).transpose(1, 2).detach().requires_grad_(True) for x in qkv.split(WIDTH, dim=2)
    )
    do = torch.randn(1, N, T, H, device="cuda", dtype=torch.bfloat16)
    forward = median_ms(lambda: attention(q, k, v))
    o = attention(q, k, v)
    backward = median_ms(lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True))
    products = pairs(T, window) * WIDTH
    peak = next((p for n, p in PEAKS.items() if n in torch.cuda.get_device_name()), None)
    rates = [4 * products / forward / 1e9, 10 * products / backward / 1e9]
    shares = [f"{100e12 * r / peak:.1f}%" if peak else "-" for r in rates]
    span = "full" if window is None else f"sliding:{window}"
    print(
        f"{name:<11} {H:>4} {T:>6} {span:<13} {forward:>9.4f} {rates[0]:>7.1f} {shares[0]:>6} "
        f"{backward:>9.4f} {rates[1]:>7.1f} {shares[1]:>6}",
        flush=True,
    )


def attention_table():
    head = ["kernel", "d", "T", "span", "fwd ms", "TFLOP/s", "peak", "bwd ms", "TFLOP/s", "peak"]
    print("{:<11} {:>4} {:>6} {:<13} {:>9} {:>7} {:>6} {:>9} {:>7} {:>6}".format(*head), flush=True)
    # What decides first: compiling takes seconds for each line of FlexAttention.
    cases = [(8192, 128, None), (8192, 128, 512), (8192, 64, None), (8192, 128, 256), (8192, 128, 1024)]
    cases += [(T, 128, None) for T in (2048, 4096, 16384, 32768)] + [(T, 128, 512) for T in (2048, 32768)]
    for T, H, window in cases:
        for name, attention in attentions(T, window):
            try:
                attention_row(name, attention, T, H, window)
            except Exception as e:  # a kernel that this version or device does not have
                print(f"{name:<11} {H:>4} {T:>6} {window}: {str(e).splitlines()[0][:90]}", flush=True)


class Block(nn.Module):
    def __init__(self, heads, mask):
        super().__init__()
        self.heads, self.mask = heads, mask
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (y.view(B, T, self.heads, -1).transpose(1, 2) for y in self.qkv(self.ln_1(x)).split(C, dim=2))
        if self.mask is None:
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            o = flex_attention(q, k, v, block_mask=self.mask)
        x = x + self.out(o.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


LAYERS, FULL, HEADS, VOCAB, WINDOW = 24, 4, 16, 50304, 512
TURNS, BOTH_BYTES = 10, 115 << 30


def step_flops(T):
    """Of the step's mathematics: forward and twice that backward, with the pairs that the spans let through."""
    products = 2 * T * (12 * WIDTH**2 * LAYERS + VOCAB * WIDTH)
    attention = 4 * WIDTH * (FULL * pairs(T, None) + (LAYERS - FULL) * pairs(T, WINDOW))
    return 3 * (products + attention)


def head_loss(h, weight, targets):
    return F.cross_entropy(F.linear(h, weight).float(), targets)


class TorchStep:
    """The step in PyTorch; turn() makes one and gives its seconds."""

    name = "PyTorch"

    def __init__(self, T):
        self.T = T
        with torch.device("cuda"):
            self.wte, self.wpe = nn.Embedding(VOCAB, WIDTH), nn.Embedding(T, WIDTH)
            mask = block_mask(T, WINDOW)
            blocks = nn.ModuleList(Block(HEADS, None if i < FULL else mask) for i in range(LAYERS))
            self.ln_f = nn.LayerNorm(WIDTH)
        modules = (self.wte, self.wpe, blocks, self.ln_f)
        self.parameters = [p for m in modules for p in m.parameters()]
        for p in self.parameters:
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        self.blocks = [torch.compile(b, dynamic=False) for b in blocks]
        self.head = torch.compile(head_loss, dynamic=False)
        self.turn()  # compiles

    def loss(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x).flatten(0, 1), self.wte.weight, targets.flatten())

    def turn(self):
        batch = torch.randint(VOCAB, (1, self.T + 1))
        torch.cuda.synchronize()
        begin = time.perf_counter()
        batch = batch.cuda()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = self.loss(batch[:, :-1], batch[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss.item()
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    def end(self):
        """Bytes that were taken at most."""
        return torch.cuda.max_memory_allocated()


class OurStep:
    """bench_cuda_step of the bundle that this file lies in; the same interface."""

    name = "Mixspan"

    def __init__(self, T):
        run = pathlib.Path(__file__).resolve().parent / "run"
        if not run.exists():
            raise FileNotFoundError(f"{run} is not there: not in a bundle")
        command = [str(run), "bench_cuda_step", "turns", str(T)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.words("ready")

    def words(self, wanted):
        words = self.process.stdout.readline().split()
        if not words or (wanted and words[0] != wanted):
            raise RuntimeError(f"bench_cuda_step ended ({self.process.wait()}); its message stands above")
        return words

    def turn(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.words(None)[0])

    def end(self):
        self.process.stdin.close()
        taken = int(self.words("peak")[2])
        self.process.wait()
        return taken


def step_row(side, T, times, taken):
    seconds = statistics.median(times)
    peak = next((p for n, p in PEAKS.items() if n in torch.cuda.get_device_name()), None)
    mfu = f"{100 * step_flops(T) / seconds / peak:.1f}%" if peak else "-"
    print(
        f"{side:<8} {T:>7} {1e3 * seconds:>9.2f} {1e3 * min(times):>9.2f} {T / seconds:>9.0f} {mfu:>7} "
        f"{taken / 2**30:>8.1f}",
        flush=True,
    )
    return seconds


def started(kind, T):
    """The side, or None after a line that says why it is not there: the other goes on alone."""
    try:
        return kind(T)
    except Exception as e:
        print(f"{kind.name} {T}: {type(e).__name__}: {(str(e) or '-').splitlines()[0][:120]}", flush=True)
        return None


def step_in_turns(T):
    kinds = (OurStep, TorchStep)
    medians = {}

    def measure(sides):
        times = {side: [] for side in sides}
        try:
            for turn in range(TURNS + 2):
                for side in sides:
                    seconds = side.turn()
                    if turn >= 2:
                        times[side].append(seconds)
        except Exception as e:
            print(f"{T} tokens: {type(e).__name__}: {str(e).splitlines()[0][:120]}", flush=True)
        for side in sides:
            if times[side]:
                medians[side.name] = step_row(side.name, T, times[side], side.end())

    if torch.cuda.get_device_properties(0).total_memory > BOTH_BYTES:
        measure([side for side in (started(kind, T) for kind in kinds) if side])
    else:
        print(f"# {T} tokens: one after the other, the memory is too small for both", flush=True)
        for kind in kinds:
            measure([side for side in (started(kind, T),) if side])
            torch.cuda.empty_cache()
    if len(medians) == 2:
        print(f"# {T} tokens: PyTorch's time over Mixspan's: {medians['PyTorch'] / medians['Mixspan']:.2f}", flush=True)


def step_table(lengths):
    head = ["step", "tokens", "ms", "least", "tokens/s", "MFU", "GiB"]
    print("{:<8} {:>7} {:>9} {:>9} {:>9} {:>7} {:>8}".format(*head), flush=True)
    for T in lengths:
        step_in_turns(T)


def main(words):
    torch.manual_seed(1)
    cudnn = torch.backends.cudnn.version()
    print(f"# {torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {cudnn}", flush=True)
    lengths = [int(w) for w in words if w.isdigit()] or [8192]
    parts = [w for w in words if w in ("attention", "step")] or ["step", "attention"]
    for part in parts:
        attention_table() if part == "attention" else step_table(lengths)


main(sys.argv[1:])
