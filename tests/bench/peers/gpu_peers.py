"""What PyTorch does on the same GPU: attention by its fused kernels, and a training step of the 1.3B mixed model.

    gpu_peers.py [attention] [step]     both by default; without a GPU or PyTorch one line, and exit code 77

Attention at B = 1, 2048 channels, bf16: FlashAttention 2 and cuDNN behind scaled_dot_product_attention (full causal),
FlexAttention compiled (full causal and sliding windows). Median of 20 runs with a cold L2 cache, random data; useful
TFLOP/s count visible pairs, 4 d for each forward and 10 d backward, as bench_cuda_attention does.
Step: 24 layers of width 2048 with 16 heads, MLP 8192 with GELU, vocabulary 50304, tied; 4 full layers and 20 with a
window of 512; 8192 tokens, forward, backward, clipping, AdamW on fp32 weights under bf16 autocast; compiled by block.
"""

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


def step_table(T=8192, layers=24, full=4, vocab=50304, window=512):
    with torch.device("cuda"):
        wte, wpe = nn.Embedding(vocab, WIDTH), nn.Embedding(T, WIDTH)
        mask = block_mask(T, window)
        blocks = nn.ModuleList(Block(16, None if i < full else mask) for i in range(layers))
        ln_f = nn.LayerNorm(WIDTH)
    for p in (p for m in (wte, wpe, blocks) for p in m.parameters() if p.dim() == 2):
        nn.init.normal_(p, std=0.02)
    parameters = [p for m in (wte, wpe, blocks, ln_f) for p in m.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run_blocks = [torch.compile(b, dynamic=False) for b in blocks]

    def loss_of(tokens, targets):
        x = wte(tokens) + wpe.weight
        for block in run_blocks:
            x = block(x)
        logits = F.linear(ln_f(x), wte.weight)
        return F.cross_entropy(logits.view(-1, vocab).float(), targets.reshape(-1))

    times = []
    for i in range(13):
        batch = torch.randint(vocab, (1, T + 1), device="cuda")
        torch.cuda.synchronize()
        begin = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = loss_of(batch[:, :-1], batch[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        if i >= 3:
            times.append(time.perf_counter() - begin)
    seconds = sorted(times)[len(times) // 2]
    count = sum(p.numel() for p in parameters)
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"step: {count / 1e9:.2f}e9 parameters, {T} tokens, {full} full + {layers - full} sliding:{window} layers: "
        f"{1e3 * seconds:.1f} ms, {T / seconds:.0f} tokens/s, {peak:.1f} GiB",
        flush=True,
    )


def main(words):
    torch.manual_seed(1)
    cudnn = torch.backends.cudnn.version()
    print(f"# {torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {cudnn}", flush=True)
    parts = [w for w in words if w in ("attention", "step")] or ["step", "attention"]
    for part in parts:
        {"attention": attention_table, "step": step_table}[part]()


main(sys.argv[1:])
