#!/usr/bin/env python3
"""Writes the golden files of this folder with Hugging Face's GPT-Neo and GPT-2.

Needs torch, transformers, h5py, numpy; the project itself never runs it. See README.md for what a
file holds. Deterministic: the same versions write the same numbers.

All reference values are computed in float64 (weights are drawn in float32, then widened), so a
file holds the true value to about 1e-12, not one implementation's rounding. GPT-Neo's attention
casts queries and keys to float32; forward_f64() replaces that one function by the same lines
without the casts, and check_float32() holds the result against the untouched float32 model.
"""
import json
import pathlib
import shutil
import types

import h5py
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch.nn import functional

HERE = pathlib.Path(__file__).resolve().parent
ADAMW = dict(lr=1e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)
STEPS = 10
IGNORED = -1


def neo_config(window, attention_types, **sizes):
    return transformers.GPTNeoConfig(
        window_size=window, attention_types=attention_types, attention_dropout=0.0,
        embed_dropout=0.0, resid_dropout=0.0, bos_token_id=0, eos_token_id=0, **sizes)


MODELS = {
    # name: (config, B, T, seed)
    "gpt_neo_a": (neo_config(5, [[["global", "local"], 2]], num_layers=4, hidden_size=32,
                             num_heads=4, vocab_size=97, max_position_embeddings=24), 3, 23, 1),
    "gpt_neo_b": (neo_config(8, [[["local", "global"], 1], [["local"], 1]], num_layers=3,
                             hidden_size=48, num_heads=2, intermediate_size=80, vocab_size=128,
                             max_position_embeddings=40), 2, 33, 2),
    "gpt2": (transformers.GPT2Config(
        n_layer=2, n_embd=48, n_head=2, vocab_size=113, n_positions=32, attn_pdrop=0.0,
        embd_pdrop=0.0, resid_pdrop=0.0, bos_token_id=0, eos_token_id=0), 2, 29, 3),
}
FOLDERS = {"gpt_neo_a": "hf_gpt_neo", "gpt2": "hf_gpt2"}


def build(config, seed):
    """The model, float32, with weights that no term can hide behind: gains off 1, biases off 0,
    queries and keys so large that attention is far from uniform."""
    config._attn_implementation = "eager"
    neo = config.model_type == "gpt_neo"
    model = (transformers.GPTNeoForCausalLM if neo else transformers.GPT2LMHeadModel)(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=generator)
            width = config.hidden_size
            if "ln_" in name:
                p.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
            elif name.endswith("bias"):
                p.copy_(0.1 * noise)
            elif "wte" in name or "wpe" in name:
                p.copy_(0.3 * noise)
            elif "q_proj" in name or "k_proj" in name or "c_attn" in name:
                # GPT-Neo divides scores by nothing: smaller weights give the same sharpness.
                p.copy_(noise * (0.9 if neo else 1.6) / width**0.5)
            else:
                fan_in = p.shape[1] if neo else p.shape[0]
                p.copy_(0.7 * noise / fan_in**0.5)
    return model.eval()


def attention_f64(self, query, key, value, attention_mask=None):
    """GPTNeoSelfAttention._attn (transformers 5.23) without its casts to float32."""
    weights = torch.matmul(query, key.transpose(-1, -2))
    rows, columns = query.size(-2), key.size(-2)
    visible = self.bias[:, :, columns - rows:columns, :columns]
    weights = torch.where(visible, weights, torch.finfo(weights.dtype).min)
    weights = functional.softmax(weights, dim=-1)
    return torch.matmul(weights, value), weights


def widened(model):
    """A float64 copy that computes in float64 throughout."""
    twin = type(model)(model.config).double().eval()
    twin.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
    if model.config.model_type == "gpt_neo":
        for block in twin.transformer.h:
            block.attn.attention._attn = types.MethodType(attention_f64, block.attn.attention)
    return twin


def loss_of(logits, targets):
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1),
                                    ignore_index=IGNORED)


def to_mixspan(config, named):
    """{Hugging Face name: array} as {Mixspan name: array}."""
    out = {}
    for name, value in named.items():
        value = np.asarray(value)
        name = name.removeprefix("transformer.")
        if name == "lm_head.weight":
            continue
        if config.model_type == "gpt2" and value.ndim == 2 and name.startswith("h."):
            value = value.T  # Conv1D holds (in, out)
        for theirs, ours in ((".attn.attention.out_proj.", ".attn.out."), (".attn.c_attn.", ".attn.qkv."),
                             (".attn.c_proj.", ".attn.out."), (".mlp.c_fc.", ".mlp.fc."),
                             (".mlp.c_proj.", ".mlp.proj.")):
            name = name.replace(theirs, ours)
        out[name] = value
    if config.model_type == "gpt_neo":
        for i in range(config.num_layers):
            parts = [out.pop(f"h.{i}.attn.attention.{p}_proj.weight") for p in "qkv"]
            out[f"h.{i}.attn.qkv.weight"] = np.concatenate(parts)
    return out


def attributes_of(config):
    neo = config.model_type == "gpt_neo"
    kinds = config.attention_layers if neo else ["global"] * config.n_layer
    return dict(
        layers=config.num_hidden_layers, width=config.hidden_size, heads=config.num_attention_heads,
        mlp_width=(config.intermediate_size if neo else config.n_inner) or 4 * config.hidden_size,
        context=config.max_position_embeddings, vocab=config.vocab_size,
        spans=",".join("full" if k == "global" else f"sliding:{config.window_size}" for k in kinds),
        attention_scale="one" if neo else "inverse-sqrt", qkv_bias=int(not neo),
        layer_norm_eps=repr(config.layer_norm_epsilon),
        **{k: repr(v) for k, v in ADAMW.items()})


def adamw_losses(model, tokens, targets):
    """The loss before each of STEPS updates on one batch. Decay on matrices only, no clipping."""
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(
        [dict(params=[p for p in parameters if p.ndim == 2], weight_decay=ADAMW["weight_decay"]),
         dict(params=[p for p in parameters if p.ndim != 2], weight_decay=0.0)],
        lr=ADAMW["lr"], betas=(ADAMW["beta1"], ADAMW["beta2"]), eps=ADAMW["eps"], foreach=False)
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = loss_of(model(tokens).logits, targets)
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
    return losses


def check_float32(name, model, tokens, targets, logits, loss, grads):
    """The untouched float32 model must agree to float32's rounding, Hugging Face's own loss too."""
    theirs = model(tokens)
    loss_of(theirs.logits, targets).backward()
    logits_error = ((theirs.logits - logits).norm() / logits.norm()).item()
    worst = max(((p.grad - grads[n]).norm() / grads[n].norm()).item()
                for n, p in model.named_parameters())
    labels = torch.full_like(tokens, -100)
    labels[:, 1:] = torch.where(targets[:, :-1] == IGNORED, -100, targets[:, :-1])
    own_loss = model(tokens, labels=labels).loss.item()
    print(f"{name}: float32 model against float64: logits {logits_error:.1e}, worst gradient "
          f"{worst:.1e}, loss {abs(own_loss - loss) / loss:.1e} (relative L2)")
    assert logits_error < 2e-6 and worst < 1e-5 and abs(own_loss - loss) < 1e-5 * loss


def describe_attention(name, twin, tokens):
    """How far from uniform attention is: the mean largest probability of the last query."""
    with torch.no_grad():
        maps = twin(tokens, output_attentions=True).attentions
    peaks = " ".join(f"{a[:, :, -1].max(-1).values.mean().item():.2f}" for a in maps)
    print(f"{name}: mean largest attention probability of the last query, by layer: {peaks}")


def write_file(path, config, arrays):
    with h5py.File(path, "w", libver=("v110", "v110")) as f:
        for key, value in sorted(arrays.items()):
            value = np.ascontiguousarray(value)
            f.create_dataset(key, data=value, chunks=value.shape, compression="gzip",
                             fletcher32=True, track_times=False)
        for key, value in attributes_of(config).items():
            f.attrs.create(key, np.bytes_(value) if isinstance(value, str) else np.int64(value))


def write_folder(folder, config, model):
    """config.json and model.safetensors, as a Hugging Face folder holds them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    keys = dict(config.to_dict(), architectures=[type(model).__name__], torch_dtype="float32")
    for key in ("transformers_version", "dtype", "_attn_implementation", "_name_or_path"):
        keys.pop(key, None)
    (folder / "config.json").write_text(json.dumps(keys, indent=2, sort_keys=True) + "\n")
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def make(name):
    config, batch, length, seed = MODELS[name]
    model = build(config, seed)
    generator = torch.Generator().manual_seed(100 + seed)
    tokens = torch.randint(config.vocab_size, (batch, length), generator=generator)
    targets = torch.full_like(tokens, IGNORED)
    targets[:, :-1] = tokens[:, 1:]
    if name == "gpt_neo_b":
        targets[0, 3:6] = IGNORED  # holes inside the sequence as well
    twin = widened(model)
    logits = twin(tokens).logits
    loss = loss_of(logits, targets)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in twin.named_parameters()}
    check_float32(name, model, tokens, targets, logits.detach(), loss.item(), grads)
    describe_attention(name, twin, tokens)

    params = to_mixspan(config, {n: p.detach() for n, p in model.named_parameters()})
    arrays = {f"param/{n}": p.astype(np.float32) for n, p in params.items()}
    arrays |= {f"grad/{n}": g.astype(np.float32) for n, g in to_mixspan(config, grads).items()}
    arrays |= {"tokens": tokens.numpy().astype(np.int32), "targets": targets.numpy().astype(np.int32),
               "logits": logits.detach().numpy(), "loss": np.array([loss.item()]),
               "adamw/losses": np.array(adamw_losses(widened(model), tokens, targets))}
    write_file(HERE / f"{name}.h5", config, arrays)
    print(f"{name}: loss {loss.item():.6f}, AdamW", " ".join(f"{x:.6f}" for x in arrays["adamw/losses"]))
    if name in FOLDERS:
        write_folder(HERE / FOLDERS[name], config, model)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for each in MODELS:
        make(each)
