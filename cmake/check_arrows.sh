#!/bin/bash
# The arrows of docs/architecture.md: a folder includes only folders to its left, and each third-party
# header has its place. Prints file:line for every violation.
#   cmake/check_arrows.sh [ROOT]
source "$(dirname "${BASH_SOURCE[0]}")/tracked_files.sh"
root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
cd "$root"

tracked_files . '\.(h|cpp|cu|cuh|inc|h\.in)$' | tr '\n' '\0' | xargs -0 -r grep -nHE '^[[:space:]]*#[[:space:]]*include' |
  awk '
  BEGIN {
    may["core"] = "core"
    may["kernels"] = "core kernels"
    may["parallel"] = "core kernels parallel"
    may["layers"] = "core kernels parallel layers"
    may["data"] = "core data"
    may["experiments"] = "core kernels parallel layers data experiments"
    may["tests"] = may["experiments"] " tests"
    # Inside experiments: subfolder -> what it must not include.
    keep["experiments/cost"] = "experiments/(run|sweep|report|cli)/"
    keep["experiments/run"] = "experiments/(sweep|report|cli)/"
    keep["experiments/sweep"] = "experiments/(report|cli)/"
    keep["experiments/report"] = "experiments/cli/"
    # Third-party header -> the only product files that may include it.
    place["hdf5"] = "^core/h5[a-z0-9_]*\\.cpp$"
    place["CLI/"] = "^experiments/cli/"
    place["mpi\\.h|nccl\\.h"] = "^parallel/(comm_[a-z0-9_]*|bootstrap)\\.cpp$"
    place["toml\\+\\+|toml\\.hpp"] = "^core/config[a-z0-9_]*\\.cpp$"
    place["oneapi/|dnnl|cblas|openblas"] = "^kernels/(matmul|sgemm)[a-z0-9_]*\\.cpp$"
    place["cuda_runtime|cuda\\.h|cublas|nvtx3/"] = "^(core|kernels)/cuda/"
    place["gtest|gmock|benchmark/"] = "^tests/"
  }
  function bad(text) { printf "%s:%s: %s\n", file, line, text; count++ }
  {
    split($0, part, ":"); file = part[1]; line = part[2]
    text = substr($0, length(file) + length(line) + 3)
    match(text, /["<][^">]*[">]/)
    quote = substr(text, RSTART, 1); header = substr(text, RSTART + 1, RLENGTH - 2)
    split(file, path, "/"); folder = path[1]
    if (!(folder in may)) next
    if (folder != "tests")
      for (p in place)
        if (header ~ "^(" p ")" && file !~ place[p])
          bad("<" header "> belongs only in files that match " place[p])
    if (quote != "\"") next
    split(header, target, "/")
    if (!(target[1] in may)) {
      bad("\"" header "\" is not written from the repository root"); next
    }
    if (index(" " may[folder] " ", " " target[1] " ") == 0)
      bad(folder " may include only " may[folder] ", not \"" header "\"")
    sub_folder = path[1] "/" path[2]
    if (sub_folder in keep && header ~ "^" keep[sub_folder])
      bad(sub_folder " must not include \"" header "\"")
    if (header ~ /^core\/cuda\/|\.cuh$/ && file !~ /^(core|kernels)\/cuda\// && folder != "tests")
      bad("\"" header "\" is for core/cuda and kernels/cuda alone")
    if (folder == "parallel" && target[1] == "kernels" && header !~ /^kernels\/(span|tile_ranges|ordered_sum)\.h$/)
      bad("from kernels, parallel uses only span.h, tile_ranges.h and ordered_sum.h, not \"" header "\"")
  }
  END {
    if (NR == 0) { print "no include found: wrong folder?"; exit 1 }
    printf "%d includes, %d against the arrows\n", NR, count; exit count > 0
  }'
