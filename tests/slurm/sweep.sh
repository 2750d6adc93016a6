#!/bin/bash
# A sweep of six runs on two nodes each, by `mixspan sweep --launcher slurm` on a real Slurm: undisturbed; at the same
# time again, each run disturbed in another way. Both must end with the same runs, bit for bit.
#   tests/slurm/sweep.sh MIXSPAN
# Exit 77 (skipped) where there is no Slurm or no root. Uses the nodes n1 to n8 of the sandbox.
mixspan=$(realpath "$1")
source "$(dirname "${BASH_SOURCE[0]}")/sandboxed.sh"
begin
base_config >base.toml
# A pair of nodes for each run, so that what happens to a node happens to one run.
cat >six.toml <<'TOML'
[sweep]
base = "base.toml"
[grid]
train.seed = [1, 2, 3, 4, 5, 6]
[slurm]
partition = "low"
nodes = 2
tasks_per_node = 1
sbatch = ["--exclusive", "--exclude=n[9-14]"]
TOML

# sweep OUT: starts what is missing, in the background, and watches it to its end; its own output goes to OUT.out.
sweep() { timeout 400 ./mixspan sweep six.toml --launcher slurm --wait --out "$1" >>"$1.out" 2>&1 & }
all_finished() { [[ $(ls "$1"/runs/*/result.json 2>/dev/null | wc -l) == 6 ]]; }
submitted() { [[ $(cat "$1"/slurm/runs-*.txt 2>/dev/null | wc -l) -ge 6 ]]; }
give_up() {
  bad "$1"
  tail -n 5 ./*.out ./*/slurm/*.log 2>/dev/null
  exit 1
}

sweep calm
within 60 submitted calm || give_up "an undisturbed sweep starts"
mapfile -t names < <(cat calm/slurm/runs-*.txt)
mkdir -p six/runs
ln -s "$(realpath runs/full)" "six/runs/${names[4]}" # its disk is the small one
sweep six
watcher=$!
within 60 submitted six || give_up "the sweep to disturb starts"
list=$(ls six/slurm/runs-*.txt)
job=${list##*/runs-}
job=${job%.txt}
run_of() { echo "six/runs/${names[$1]}"; }

# Each is held as soon as it is under way, whenever its turn is, and until it is disturbed.
for k in {0..5}; do { hold "$(run_of "$k")" 150 && touch "held-$k"; } & done
held() { within 150 test -e "held-$1"; }

held 0 || give_up "node: under way"
batch_host=$(field "${job}_0" BatchHost)
old_ranks=$(ranks_of "$(run_of 0)")
slurm/sandbox/node kill "$batch_host"

held 1 || give_up "limit: under way"
scontrol update jobid="${job}_1" TimeLimit=1
{ within 90 told_to_save "$(run_of 1)" && touch told && let_go "$(run_of 1)"; } &

held 2 || give_up "cancelled: under way"
scancel "${job}_2"
expect "scancel: it saves" within 60 says "$(run_of 2)" '"interrupted"'
expect "scancel: it stays cancelled" within 60 in_state "${job}_2" CANCELLED

held 3 || give_up "preempted: under way"
urgent=$(sbatch --parsable --partition=main --nodelist="$(field "${job}_3" NodeList)" --nodes=2 \
  --ntasks-per-node=1 --output=urgent.log --wrap true)
expect "preemption: it makes room" within 60 in_state "$urgent" COMPLETED
restarted "${job}_3" || bad "preemption: there was one"

held 4 || give_up "full: under way"
cat /dev/zero >runs/full/ballast 2>/dev/null
let_go "$(run_of 4)"
expect "a full disk: the job fails" within 60 in_state "${job}_4" FAILED
rm runs/full/ballast

held 5 || give_up "lost: under way"
kill -KILL "$(ranks_of "$(run_of 5)" | tail -1)"
let_go "$(run_of 5)"
expect "a killed rank: the others end" within 60 no_rank_of "$(run_of 5)"
expect "a killed rank: the job fails" within 60 in_state "${job}_5" 'FAILED|NODE_FAIL'

kill $watcher # which ends the watching and no job
wait $watcher
expect "the sweep can be left" test $? == 75
# Only what was cancelled or failed is submitted: the others are Slurm's still, or finished.
sweep six
submitted_again() { [[ $(ls six/slurm/runs-*.txt | wc -l) == 2 ]]; }
expect "started again, it submits" within 60 submitted_again
others=$(cat $(ls six/slurm/runs-*.txt | grep -vxF "$list"))
expect "what was cancelled or failed, and nothing else" test "$others" == \
  "$(printf '%s\n' "${names[2]}" "${names[4]}" "${names[5]}")"

expect "a killed slurmd: Slurm takes the job back" within 90 restarted "${job}_0"
# What still lives on the node that Slurm gave up must not touch the run, which is compared below.
kill -CONT $old_ranks 2>/dev/null
expect "the time limit: it is told" within 90 test -e told
expect "the time limit: saved and queued again" within 60 restarted "${job}_1"
wait # for both sweeps
expect "the undisturbed sweep is complete" all_finished calm
expect "so is the disturbed one, without another start" all_finished six
for k in 0 1 3; do
  # COMPLETING for a while first.
  expect "${names[k]}: finished by the task that was queued again" within 30 in_state "${job}_$k" COMPLETED
done
for name in "${names[@]}"; do
  expect "$name: as if nothing had happened" same_run "six/runs/$name" "calm/runs/$name"
done
((failures == 0)) || tail -n 6 ./*.out six/slurm/*.log
exit $((failures > 0))
