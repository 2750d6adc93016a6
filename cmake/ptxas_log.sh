#!/bin/bash
# Runs a compiler and keeps what ptxas says of each kernel (registers, spills) beside the object file, as OBJECT.ptxas,
# instead of on the terminal. tests/cuda/check_registers.sh reads it.
#   cmake/ptxas_log.sh COMPILER... -o OBJECT ...
set -uo pipefail
object=
for ((i = 1; i < $#; i++)); do
  next=$((i + 1))
  if [[ ${!i} == -o ]]; then object=${!next}; fi
done
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$@" 2>"$said"
status=$?
ours='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -vE "$ours" "$said" >&2
if [[ -n $object ]]; then grep -E "$ours" "$said" >"$object.ptxas"; fi
exit $status
