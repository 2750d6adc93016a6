#!/bin/bash
# What ptxas said of every kernel when the library was built: no kernel spills registers, no wgmma is serialised, and
# none uses more registers than registers.txt has for it (by more than 8, one step of the allocation). Kernels that
# are not recorded yet are counted, and fail only where they spill. Exits 77 where the build has no CUDA. Counts of
# another nvcc than the one that made the list are not compared.
#   tests/cuda/check_registers.sh BUILD_FOLDER [--update]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$1
list=$here/registers.txt
nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p; s/^MIXSPAN_NVCC:[A-Z]*=//p' "$build/CMakeCache.txt" | head -1)
if [[ -z $nvcc || $nvcc == *NOTFOUND || ! -d $build/kernels/CMakeFiles/mixspan_kernels_cuda.dir/cuda ]] ||
  ! compgen -G "$root/kernels/cuda/*.cu" >/dev/null; then
  echo "this build has no CUDA kernels"
  exit 77
fi
version=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\), V\([0-9.]*\).*/\2/p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

for source in "$root"/kernels/cuda/*.cu; do
  name=$(basename "$source")
  log=$build/kernels/CMakeFiles/mixspan_kernels_cuda.dir/cuda/$name.o.ptxas
  if [[ ! -f $log ]]; then
    echo "$name: not built yet (cmake --build $build --target mixspan_kernels_cuda)"
    failures=$((failures + 1))
    continue
  fi
  if grep -i 'wgmma.*serializ' "$log"; then
    echo "$name: wgmma instructions are serialised"
    failures=$((failures + 1))
  fi
  # FILE ARCH REGISTERS SPILL_BYTES MANGLED_NAME
  awk -v file="$name" '
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4]; spills = 0 }
    /bytes spill stores/ { if (kernel) spills += $5 + $9 }
    /Used [0-9]+ registers/ {
      match($0, /Used [0-9]+/)
      if (kernel) print file, arch, substr($0, RSTART + 5, RLENGTH - 5), spills, kernel
      kernel = ""
    }' "$log" >>"$scratch/mangled"
done
[[ -f $scratch/mangled ]] || { echo "no kernel was found in the logs"; exit 1; }

# Readable names: without parameters, the namespace that all have, and what nvcc calls an unnamed namespace.
c++filt <"$scratch/mangled" |
  sed -E 's/_GLOBAL__N__[0-9a-zA-Z_]*:://g; s/\(anonymous namespace\):://g; s/ void / /; s/mixspan::(cuda::)?//g; s/\(([a-zA-Z_0-9]|::)+\)//g; s/\(.*$//' |
  LC_ALL=C sort -u >"$scratch/kernels"
awk '$4 > 0 { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", name); print $1 ": " name " spills " $4 " bytes on " $2; bad++ } END { exit bad > 0 }' \
  "$scratch/kernels" || failures=$((failures + 1))

{
  echo "# Registers of each kernel by nvcc $version; tests/cuda/check_registers.sh BUILD_FOLDER --update writes this file."
  echo "# FILE ARCHITECTURE REGISTERS KERNEL"
  sed -E 's/^(([^ ]+ ){3})[0-9]+ /\1/' "$scratch/kernels"
} >"$scratch/registers.txt"
if [[ ${2:-} == --update ]]; then
  cp "$scratch/registers.txt" "$list"
  echo "$(wc -l <"$scratch/kernels") kernels written to $list"
elif grep -q "^# Registers of each kernel by nvcc $version;" "$list"; then
  awk '
    /^#/ { next }
    { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", name); key = $1 " " $2 " " name }
    FNR == NR { recorded[key] = $3; next }
    !(key in recorded) { fresh++; next }
    $3 > recorded[key] + 8 { print $1 ": " name " (" $2 ") uses " $3 " registers, recorded are " recorded[key]; bad++ }
    END {
      if (fresh) print fresh " kernels are not in registers.txt yet"
      if (bad) print "when that was meant: tests/cuda/check_registers.sh BUILD_FOLDER --update"
      exit bad > 0
    }
  ' "$list" "$scratch/registers.txt" || failures=$((failures + 1))
else
  echo "registers.txt is of another nvcc than $version: counts are not compared"
fi
echo "$(wc -l <"$scratch/kernels") kernels, $failures failures"
[[ $failures -eq 0 ]]
