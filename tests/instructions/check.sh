#!/bin/bash
# Counts the instructions of each operation of count_instructions under valgrind and holds them against counts.txt: a
# guard of speed that no busy machine disturbs. Fewer by more than the tolerance fails too, so that the file stays true.
#   check.sh COUNT_INSTRUCTIONS COMPILER             0 all within, 1 not, 77 cannot be compared here (says why)
#   check.sh COUNT_INSTRUCTIONS COMPILER --update    writes counts.txt
set -euo pipefail
program=$1 compiler=$2 update=${3:-}
counts=$(dirname "${BASH_SOURCE[0]}")/counts.txt
per_mille=30  # alignment of memory, and which copy routine the C library takes on a processor

skip() {
  echo "skipped: $1"
  exit 77
}
command -v valgrind >/dev/null || skip 'valgrind is not installed (scripts/setup installs it)'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# valgrind knows AVX2 but not AVX-512, so that is what a program under it finds.
isa=$(valgrind --tool=none -q "$program" --isa)
made_with="$compiler, $isa"
if [[ -n $update ]]; then
  printf '# Instructions of count_instructions NAME, by %s. check.sh --update writes this file.\n' "$made_with" >"$counts"
elif ! grep -qF "by $made_with." "$counts"; then
  skip "counts.txt is not of $made_with"
fi

# instructions NAME
instructions() {
  valgrind --tool=callgrind --callgrind-out-file="$scratch/out" --collect-atstart=no --toggle-collect=counted \
    "$program" "$1" 2>"$scratch/log"
  sed -nE 's/.*Collected : ([0-9]+).*/\1/p' "$scratch/log"
}

status=0
while read -r name; do
  got=$(instructions "$name")
  if [[ -z $got || $got -eq 0 ]]; then
    echo "$name: nothing was counted"
    exit 1
  fi
  if [[ -n $update ]]; then
    printf '%s %d\n' "$name" "$got" >>"$counts"
    continue
  fi
  wanted=$(sed -nE "s/^$name ([0-9]+)$/\1/p" "$counts")
  if [[ -z $wanted ]]; then
    echo "$name: $got instructions, not in counts.txt"
    status=1
    continue
  fi
  off=$(((got - wanted) * 1000 / wanted)) verdict=ok
  if ((off > per_mille || off < -per_mille)); then
    verdict="FAILED: more than $per_mille per mille off"
    status=1
  fi
  printf '%-34s %10d of %10d %+4d per mille  %s\n' "$name" "$got" "$wanted" "$off" "$verdict"
done < <("$program" --list)
exit $status
