#!/bin/bash
# Breaks one rule at a time in a scratch tree and requires that the check for it fails, naming file and line.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0
cases=0

fresh_tree() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree"/{core,kernels/cuda,parallel,layers,data,experiments/run,experiments/cli,tests/core,docs,scripts,cmake}
  printf '#pragma once\n#include <vector>\nstruct A {\n  int x;\n};\n' >"$tree/core/a.h"
  printf '#include "core/a.h"\nint f(int x) {\n  return x;\n}\n' >"$tree/kernels/a.cpp"
  printf '# Title\n\nSee [this](#title) and `core/a.h`.\n' >"$tree/README.md"
  echo libfmt-dev >"$tree/scripts/packages.txt"
}

# catches CHECK WANTED: the check must fail on the tree and print WANTED (a fixed string).
catches() {
  local out
  cases=$((cases + 1))
  if out=$("$here/check_$1.sh" "$tree" 2>&1); then
    echo "check_$1.sh passes although there is: $2"
    failures=$((failures + 1))
  elif ! grep -qF -- "$2" <<<"$out"; then
    printf 'check_%s.sh does not say "%s" but:\n%s\n' "$1" "$2" "$out"
    failures=$((failures + 1))
  fi
  fresh_tree
}

# accepts CHECK: the check must pass on the tree as it is.
accepts() {
  local out
  cases=$((cases + 1))
  if ! out=$("$here/check_$1.sh" "$tree" 2>&1); then
    printf 'check_%s.sh refuses a good tree:\n%s\n' "$1" "$out"
    failures=$((failures + 1))
  fi
}

fresh_tree
for check in arrows names budgets docs; do accepts $check; done

printf 'namespace n {\nstruct B {\n};\n}\nclass B;\n' >"$tree/core/b.h" && accepts names
cp "$tree/core/b.h" "$tree/data/c.h" && catches names 'data/c.h:2: n::B is defined in core/b.h:2 too'

# includes FILE HEADER: the second line of FILE includes HEADER.
includes() { printf '\n#include %s\n' "$2" >"$tree/$1"; }
includes core/b.h '"kernels/a.h"' && catches arrows 'core/b.h:2:'
includes data/b.cpp '"layers/a.h"' && catches arrows 'data/b.cpp:2:'
includes layers/b.cpp '"experiments/run/a.h"' && catches arrows 'layers/b.cpp:2:'
includes parallel/b.cpp '"kernels/matmul.h"' && catches arrows 'parallel/b.cpp:2:'
includes experiments/run/b.cpp '"experiments/cli/a.h"' && catches arrows 'experiments/run/b.cpp:2:'
includes core/b.cpp '"a.h"' && catches arrows 'core/b.cpp:2:'
includes core/b.cpp '<hdf5.h>' && catches arrows 'core/b.cpp:2:'
includes experiments/run/b.cpp '<CLI/CLI.hpp>' && catches arrows 'experiments/run/b.cpp:2:'
includes layers/b.cpp '<mpi.h>' && catches arrows 'layers/b.cpp:2:'
includes data/b.cpp '<toml++/toml.h>' && catches arrows 'data/b.cpp:2:'
includes kernels/b.cpp '<oneapi/dnnl/dnnl.h>' && catches arrows 'kernels/b.cpp:2:'
includes kernels/b.cpp '<cblas.h>' && catches arrows 'kernels/b.cpp:2:'
includes core/b.cpp '<gtest/gtest.h>' && catches arrows 'core/b.cpp:2:'
includes kernels/b.cpp '<cuda_runtime.h>' && catches arrows 'kernels/b.cpp:2:'
includes core/b.cpp '"core/cuda/cuda_check.h"' && catches arrows 'core/b.cpp:2:'
includes layers/b.cpp '"kernels/cuda/launch.cuh"' && catches arrows 'layers/b.cpp:2:'
includes kernels/cuda/b.cu '"layers/a.h"' && catches arrows 'kernels/cuda/b.cu:2:'
includes kernels/cuda/b.cu '<cuda_runtime.h>' && accepts arrows
includes tests/core/b.cpp '"experiments/cli/a.h"' && accepts arrows
includes core/h5.cpp '<hdf5.h>' && accepts arrows

# lines COUNT: that many lines of code.
lines() { for ((i = 0; i < $1; i++)); do echo "  x += $i;"; done; }
lines 401 >"$tree/core/b.cpp" && catches budgets 'core/b.cpp: 401 lines'
lines 151 >"$tree/kernels/cuda/b.cuh" && catches budgets 'kernels/cuda/b.cuh: 151 lines'
lines 151 >"$tree/core/b.h" && catches budgets 'core/b.h: 151 lines'
{ echo 'void far(int x) {' && lines 120 && echo '}'; } >"$tree/core/b.cpp" && catches budgets 'core/b.cpp:1: 122 lines'
{ echo 'namespace a {' && lines 150 && echo '}  // "{" }'; } >"$tree/core/b.cpp" && accepts budgets
{ printf 'A::A(int x)\n    : y_{x}, z_(x) {\n' && lines 130 && echo '}'; } >"$tree/core/b.cpp" &&
  catches budgets 'core/b.cpp:1: 133 lines'
{ printf 'auto help = R"(\nvoid f() {\n' && lines 130 && echo ')";'; } >"$tree/core/b.cpp" && accepts budgets
fresh_tree

echo 'A [link](docs/absent.md).' >>"$tree/README.md" && catches docs 'README.md:4:'
echo 'A [link](#absent).' >>"$tree/README.md" && catches docs 'README.md:4:'
echo 'The file `core/absent.h`.' >>"$tree/README.md" && catches docs 'README.md:4:'
echo 'need(fmt libabsent-dev)' >"$tree/cmake/dependencies.cmake" && catches docs 'cmake/dependencies.cmake:1:'
printf '\nrun /%s/x\n' work >"$tree/scripts/x" && catches docs 'scripts/x:2:'

echo "$cases cases, $failures failures"
[[ $failures -eq 0 ]]
