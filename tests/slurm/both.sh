#!/bin/bash
# sweep.sh and scripts.sh at the same time in one sandbox, each on nodes of its own, because both mostly wait for Slurm.
#   tests/slurm/both.sh MIXSPAN
# Exit 77 (skipped) where there is no Slurm or no root.
mixspan=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/sandboxed.sh"
begin
export MIXSPAN_TEST_CLUSTER=$work # of sandboxed.sh
"$here/scripts.sh" "$mixspan" >scripts.out 2>&1 &
scripts=$!
"$here/sweep.sh" "$mixspan" || failures=1
wait $scripts || failures=1
cat scripts.out
exit $failures
