#!/bin/bash
# sweep.sh and scripts.sh at the same time in one sandbox, each on nodes of its own, because both mostly wait for Slurm.
#   tests/slurm/both.sh MIXSPAN
# Exit 77 (skipped) where there is no Slurm or no root.
# Known defect: now and then a rank dies of a segmentation fault as it starts (docs/verified.md), which no retry of the
# cluster covers. Until it is found, a failed attempt is shown and made once more.
mixspan=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -z ${MIXSPAN_TEST_ATTEMPT:-} ]]; then
  MIXSPAN_TEST_ATTEMPT=1 "$0" "$mixspan"
  status=$?
  [[ $status == 0 || $status == 77 ]] && exit $status
  echo "== the first attempt failed; once more"
fi
source "$here/sandboxed.sh"
begin
export MIXSPAN_TEST_CLUSTER=$work # of sandboxed.sh
"$here/scripts.sh" "$mixspan" >scripts.out 2>&1 &
scripts=$!
"$here/sweep.sh" "$mixspan" || failures=1
wait $scripts || failures=1
cat scripts.out
exit $failures
