#!/usr/bin/env python3
"""Loads an exported Hugging Face folder with `transformers` and compares its logits and loss with a
golden file of this folder:

    check_export.py FOLDER tests/golden/model/gpt_neo_a.h5

Exits 1 unless the relative L2 error of the logits and the relative error of the loss are at most
1e-5, every tensor of the folder was used and none was missing.
"""
import sys

import h5py
import torch
import transformers

BOUND = 1e-5


def main(folder, golden):
    transformers.logging.set_verbosity_error()
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, local_files_only=True,
        output_loading_info=True)
    model.eval()
    with h5py.File(golden) as f:
        tokens, targets, want = (torch.from_numpy(f[k][:]) for k in ("tokens", "targets", "logits"))
        want_loss = float(f["loss"][0])
    with torch.no_grad():
        logits = model(tokens.long()).logits.double()
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.long().flatten(), ignore_index=-1).item()
    error = ((logits - want).norm() / want.norm()).item()
    loss_error = abs(loss - want_loss) / want_loss
    problems = {k: sorted(v) for k, v in report.items() if v}
    print(f"{folder}: {type(model).__name__}; logits against {golden}: relative L2 {error:.2e}; "
          f"loss {loss:.6f}, relative error {loss_error:.2e}; loading: {problems or 'complete'}")
    return 0 if error <= BOUND and loss_error <= BOUND and not problems else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
