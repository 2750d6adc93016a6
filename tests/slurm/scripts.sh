#!/bin/bash
# The scripts of slurm/ on a real Slurm: six runs on two nodes each that nothing happens to; then the same six, each
# disturbed in another way. All must end as the undisturbed ones, bit for bit.
#   tests/slurm/scripts.sh MIXSPAN
# Exit 77 (skipped) where there is no Slurm or no root.
mixspan=$(realpath "$1")
source "$(dirname "${BASH_SOURCE[0]}")/sandboxed.sh"
begin
names=(limit cancelled node preempted full lost)
for i in "${!names[@]}"; do
  base_config | sed "s/^steps/seed = $((i + 1))\nsteps/" >"configs/${names[i]}.toml"
  echo "configs/${names[i]}.toml" >>list
done
# Whose old ranks wait for peers that are gone.
echo 'timeout_s = 15' >>configs/node.toml

# submit NAME [OPTIONS OF SBATCH]: prints the job. On n1 and n2, unless told otherwise; node uses the other two.
submit() {
  local name=$1
  shift
  set -- "${@:---nodelist=n1,n2}"
  sbatch --parsable --nodes=2 --ntasks-per-node=1 --output="$name.log" "$@" \
    slurm/train.sbatch "configs/$name.toml" "runs/$name"
}
logged() { grep -qs -- "$2" "$1.log"; }
# What there is to see of a run that is not as it should be.
show() { tail -n 15 "$1.log" 2>/dev/null; }

calm=$(sbatch --parsable --array=1-6%2 --nodes=2 --ntasks-per-node=1 --output=calm-%a.log \
  slurm/array.sbatch list calm)
all_calm() { [[ $(ls calm/*/result.json 2>/dev/null | wc -l) == 6 ]]; }
within 120 all_calm || { bad "undisturbed runs" && tail -n 5 calm-*.log && exit 1; }
ok "an array of six runs on two nodes each"
grep -qh "on n\[.*2 ranks" calm-1.log && ok "with ranks on two nodes" || bad "ranks on two nodes"
within 30 in_state "$calm" COMPLETED || bad "the array is complete"

# The time limit takes Slurm half a minute, so its run is held while the others have their turns.
limit=$(submit limit --nodelist=n1,n2 --time=1)
hold runs/limit || bad "limit: under way"
{ within 90 logged limit "== USR1" && let_go runs/limit; } &

node=$(submit node --nodelist=n3,n4)
hold runs/node || bad "node: under way"
batch_host=$(field "$node" BatchHost)
old_ranks=$(ranks_of runs/node)
slurm/sandbox/node kill "$batch_host"

cancelled=$(submit cancelled)
hold runs/cancelled || bad "cancelled: under way"
scancel "$cancelled"
expect "scancel: it saves" within 20 says runs/cancelled '"interrupted"'
expect "scancel: it stays cancelled" within 20 in_state "$cancelled" CANCELLED
again=$(submit cancelled)
expect "the same command goes on, and finishes" within 60 in_state "$again" COMPLETED

full=$(submit full)
hold runs/full || bad "full: under way"
cat /dev/zero >runs/full/ballast 2>/dev/null
let_go runs/full
expect "a full disk: the job fails" within 40 in_state "$full" FAILED
logged full "No space left" && ok "and says why" || bad "a full disk: says why"
rm runs/full/ballast
again=$(submit full)
expect "with room again it goes on, and finishes" within 60 in_state "$again" COMPLETED

lost=$(submit lost)
hold runs/lost || bad "lost: under way"
kill -KILL "$(ranks_of runs/lost | tail -1)"
let_go runs/lost
expect "a killed rank: the job ends" within 40 in_state "$lost" 'FAILED|NODE_FAIL'
again=$(submit lost)
expect "the same command goes on, and finishes" within 60 in_state "$again" COMPLETED

expect "a killed slurmd: Slurm takes the job back" within 60 restarted "$node"
scontrol update jobid="$node" ReqNodeList= 2>/dev/null
expect "it runs on other nodes, and finishes" within 60 in_state "$node" COMPLETED
# What still lives on the node that Slurm gave up must not touch the run, which is compared below.
kill -CONT $old_ranks 2>/dev/null
expect "what was left of it ends" within 60 no_process $old_ranks
slurm/sandbox/node on "$batch_host"

expect "the time limit: the script hears of it, in time" within 60 logged limit "SIGUSR1), saved"
expect "it saves and is queued again" within 30 restarted "$limit"
expect "it finishes" within 60 in_state "$limit" COMPLETED

# When nothing else is on its nodes, so that it is in the way of the other one.
preempted=$(submit preempted --nodelist=n1,n2 --partition=low)
hold runs/preempted || bad "preempted: under way"
urgent=$(sbatch --parsable --partition=main --nodelist=n1,n2 --nodes=2 --exclusive --output=urgent.log --wrap true)
expect "preemption: it makes room" within 40 in_state "$urgent" COMPLETED
expect "preemption: it comes back, and finishes" within 60 in_state "$preempted" COMPLETED
restarted "$preempted" || bad "preemption: there was one"

for name in "${names[@]}"; do
  if same_run "runs/$name" "calm/$name"; then ok "$name: as if nothing had happened"; else
    bad "$name: differs" && show "$name"
  fi
done
exit $((failures > 0))
