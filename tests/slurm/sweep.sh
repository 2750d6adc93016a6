#!/bin/bash
# A sweep of six runs on two nodes each, by `mixspan sweep --launcher slurm` on a real Slurm: undisturbed; then again,
# each run disturbed in another way. Both must end with the same runs, bit for bit.
#   tests/slurm/sweep.sh MIXSPAN
# Exit 77 (skipped) where there is no Slurm or no root.
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
sbatch = ["--exclusive"]
TOML

# sweep OUT: starts what is missing, in the background, and watches it to its end; its own output goes to OUT.out.
sweep() { timeout 250 ./mixspan sweep six.toml --launcher slurm --wait --out "$1" >>"$1.out" 2>&1 & }
all_finished() { [[ $(ls "$1"/runs/*/result.json 2>/dev/null | wc -l) == 6 ]]; }
submitted() { [[ $(cat "$1"/slurm/runs-*.txt 2>/dev/null | wc -l) -ge 6 ]]; }
give_up() {
  bad "$1"
  tail -n 5 ./*.out ./*/slurm/*.log 2>/dev/null
  exit 1
}

sweep calm
within 150 all_finished calm || give_up "an undisturbed sweep"
wait
ok "an undisturbed sweep of six runs on two nodes each"

mapfile -t names < <(cat calm/slurm/runs-*.txt)
mkdir -p six/runs
ln -s ../../runs/full "six/runs/${names[4]}" # its disk is the small one
sweep six
within 30 submitted six || give_up "the sweep to disturb starts"
list=$(ls six/slurm/runs-*.txt)
job=${list##*/runs-}
job=${job%.txt}
run_of() { echo "six/runs/${names[$1]}"; }
log_of() { echo "six/slurm/${job}_$1.log"; }

# Each is held as soon as it is under way, whenever its turn is, and until it is disturbed.
for k in {0..5}; do { hold "$(run_of "$k")" 150 && touch "held-$k"; } & done
held() { within 90 test -e "held-$1"; }

held 0 || give_up "limit: under way"
scontrol update jobid="${job}_0" TimeLimit=1
held 1 || give_up "cancelled: under way"
scancel "${job}_1"
expect "scancel: it saves" within 30 says "$(run_of 1)" '"interrupted"'
expect "scancel: it stays cancelled" within 20 in_state "${job}_1" CANCELLED

held 2 || give_up "node: under way"
batch_host=$(field "${job}_2" BatchHost)
slurm/sandbox/node kill "$batch_host"
expect "a killed slurmd: Slurm takes the job back" within 60 restarted "${job}_2"
let_go "$(run_of 2)"
expect "what it left running ends" within 30 no_rank_of "$(run_of 2)"
slurm/sandbox/node on "$batch_host"

held 3 || give_up "preempted: under way"
urgent=$(sbatch --parsable --partition=main --nodelist="$(field "${job}_3" NodeList)" --nodes=2 \
  --ntasks-per-node=1 --output=urgent.log --wrap true)
expect "preemption: it makes room" within 40 in_state "$urgent" COMPLETED
restarted "${job}_3" || bad "preemption: there was one"

held 4 || give_up "full: under way"
cat /dev/zero >runs/full/ballast 2>/dev/null
let_go "$(run_of 4)"
expect "a full disk: the job fails" within 40 in_state "${job}_4" FAILED
rm runs/full/ballast

held 5 || give_up "lost: under way"
kill -KILL "$(ranks_of "$(run_of 5)" | tail -1)"
let_go "$(run_of 5)"
expect "a killed rank: the others end" within 40 no_rank_of "$(run_of 5)"

expect "the time limit: saved and queued again" within 60 restarted "${job}_0"
let_go "$(run_of 0)"
wait
for ((again = 0; again < 3; again++)); do
  all_finished six && break
  sweep six
  wait
done
expect "started again, the sweep is complete" within 60 all_finished six
for name in "${names[@]}"; do
  expect "$name: as if nothing had happened" same_run "six/runs/$name" "calm/runs/$name"
done
exit $((failures > 0))
