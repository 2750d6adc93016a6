#!/bin/bash
# The scripts of slurm/ on a real Slurm: four runs on two nodes each that nothing happens to; then the same four, each
# disturbed in another way. All must end as the undisturbed ones, bit for bit. sweep.sh disturbs in more ways.
#   tests/slurm/scripts.sh MIXSPAN
# Exit 77 (skipped) where there is no Slurm or no root. Uses the nodes n9 to n14 of the sandbox.
mixspan=$(realpath "$1")
source "$(dirname "${BASH_SOURCE[0]}")/sandboxed.sh"
begin
names=(limit cancelled node linked)
for i in "${!names[@]}"; do
  base_config | sed "s/^steps/seed = $((i + 1))\nsteps/" >"configs/${names[i]}.toml"
  echo "configs/${names[i]}.toml" >>list
done
# Whose old ranks wait for peers that are gone.
echo 'timeout_s = 15' >>configs/node.toml

# submit NAME NODES [OPTIONS OF SBATCH]: prints the job.
submit() {
  local name=$1 nodes=$2
  shift 2
  sbatch --parsable --nodelist="$nodes" --nodes=2 --ntasks-per-node=1 --output="$name.log" "$@" \
    slurm/train.sbatch "configs/$name.toml" "runs/$name"
}
logged() { grep -qs -- "$2" "$1.log"; }

limit=$(submit limit n9,n10 --time=1)
node=$(submit node n11,n12)
mapfile -t links < <(slurm/chain 2 --nodelist=n9,n10 --nodes=2 --ntasks-per-node=1 --output=linked.log \
  slurm/train.sbatch configs/linked.toml runs/linked)
calm=$(sbatch --parsable --array=1-4%2 --nodelist=n13,n14 --nodes=2 --ntasks-per-node=1 --output=calm-%a.log \
  slurm/array.sbatch list calm)

# As soon as it is told, because the limit itself is near.
{ hold runs/limit && within 90 told_to_save runs/limit && let_go runs/limit; } &
hold runs/linked & # at once: later it would be near its end
linked=$!
hold runs/node || bad "node: under way"
batch_host=$(field "$node" BatchHost)
old_ranks=$(ranks_of runs/node)
slurm/sandbox/node kill "$batch_host"

wait "$linked" || bad "linked: under way"
scancel --batch --signal=USR1 "${links[0]}"
within 60 told_to_save runs/linked || bad "linked: its ranks are told to save"
let_go runs/linked
expect "a chain: its first link stops" within 60 in_state "${links[0]}" FAILED
expect "and the second finishes" within 60 in_state "${links[1]}" COMPLETED

all_calm() { [[ $(ls calm/*/result.json 2>/dev/null | wc -l) == 4 ]]; }
within 120 all_calm || { bad "undisturbed runs" && tail -n 5 calm-*.log && exit 1; }
ok "an array of four runs on two nodes each"
grep -qh "on n\[.*2 ranks" calm-1.log && ok "with ranks on two nodes" || bad "ranks on two nodes"
expect "the array is complete" within 60 in_state "$calm" COMPLETED

# A rank of its first step dies before the run begins, as in MPI_Init.
cat >first-dies <<'SH'
#!/bin/bash
mkdir died 2>/dev/null && kill -SEGV $$
exec ./mixspan "$@"
SH
chmod +x first-dies
cancelled=$(MIXSPAN=./first-dies submit cancelled n13,n14)
hold runs/cancelled || bad "cancelled: under way"
expect "a step that dies before its run begins: once more" logged cancelled "before the run began; once more"
expect "in the same job" test "$(field "$cancelled" Restarts)" == 0
scancel "$cancelled"
expect "scancel: it saves" within 60 says runs/cancelled '"interrupted"'
expect "scancel: it stays cancelled" within 60 in_state "$cancelled" CANCELLED
again=$(submit cancelled n13,n14)
expect "the same command goes on, and finishes" within 60 in_state "$again" COMPLETED

expect "the time limit: the script hears of it, in time" within 90 logged limit "== USR1"
expect "it saves" within 60 logged limit "SIGUSR1), saved"
expect "and is queued again" within 60 restarted "$limit"
expect "it finishes" within 60 in_state "$limit" COMPLETED

expect "a killed slurmd: Slurm takes the job back" within 90 restarted "$node"
scontrol update jobid="$node" ReqNodeList=n13,n14 2>/dev/null
expect "it runs on other nodes, and finishes" within 60 in_state "$node" COMPLETED
# What still lives on the node that Slurm gave up must not touch the run, which is compared below.
kill -CONT $old_ranks 2>/dev/null
expect "what was left of it ends" within 60 no_process $old_ranks

for name in "${names[@]}"; do
  if same_run "runs/$name" "calm/$name"; then ok "$name: as if nothing had happened"; else
    bad "$name: differs" && tail -n 15 "$name.log"
  fi
done
exit $((failures > 0))
