#!/bin/bash
# Training over TCP between hosts: the losses of one process; a killed rank and a cut link end every
# rank in time, with a message that names the missing one; the run goes on to the undisturbed losses.
#   tests/multihost/multihost.sh MIXSPAN
# Exit 77 (skipped) where hosts cannot be made.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/hosts.sh"
mixspan=$(realpath "$1")
hosts_possible || { echo "skipped: network namespaces need root"; exit 77; }
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
work=$(mktemp -d)
failures=0
trap 'hosts_down; rm -rf "$work"' EXIT

ok() { echo "ok    $1"; }
bad() {
  echo "FAIL  $1"
  grep -E "^mixspan|error|rank [0-9]" "$work/out" 2>/dev/null | head -n 20
  failures=$((failures + 1))
}

cat >"$work/run.toml" <<'TOML'
[model]
layers = 4
width = 64
heads = 4
context = 256
spans = ["full", "sliding:16", "sliding:150", "block-prev:32"]
[data]
train = "synthetic:recall"
[train]
steps = 30
batch_tokens = 1024
[log]
every_steps = 1
tensorboard = false
[checkpoint]
every_steps = 10
[eval]
every_steps = 0
rows = 8
[parallel]
timeout_s = 3
TOML

losses() { grep '"kind":"train"' "$1/metrics.jsonl" | grep -oE '"step":[0-9]+|"loss":[0-9.e-]+' | paste - -; }

# Same steps, and losses within 1e-5 of each other.
same_losses() {
  paste <(losses "$1") <(losses "$2") | awk -F'[:\t]' '
    { a = $4; b = $8; d = a > b ? a - b : b - a; if ($2 != $6 || d > 1e-5 * a) wrong = 1 }
    END { exit wrong || NR != 30 }'
}

# Starts a run on hosts in the background and waits until it has passed step $2.
start_until() {
  local name=$1 step=$2 n=$3
  shift 3
  on_hosts "$work" "$n" "$mixspan" train "$work/run.toml" --run-dir "$work/$name" "$@" >"$work/out" 2>&1 &
  job=$!
  for ((k = 0; k < 600; k++)); do
    [[ $(losses "$work/$name" 2>/dev/null | wc -l) -ge $step ]] && return 0
    kill -0 $job 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

ranks_left() {
  local pid
  for pid in $(pgrep -f "train $work"); do
    [[ /proc/$pid/exe -ef $mixspan ]] && return 0
  done
  return 1
}

# Every rank ends within $1 seconds, and not with success. mpirun itself may wait for a host that it
# cannot reach; a scheduler would end it.
ends_within() {
  local k
  for ((k = 0; k < $1 * 10; k++)); do
    ranks_left || break
    sleep 0.1
  done
  ranks_left && return 1
  sleep 1
  kill -TERM $job 2>/dev/null
  ! wait $job
}

# Some rank says that rank $1 of the world is missing.
names() { grep -qE "(rank $1|\($1 in the world\)) \((sends nothing|does not take)" "$work/out"; }

rank_on_host() { # prints the pid of the rank on host $1
  local pid
  for pid in $(ip netns pids "ms-h$1"); do
    [[ /proc/$pid/exe -ef $mixspan ]] && echo "$pid" && return
  done
}

"$mixspan" train "$work/run.toml" --run-dir "$work/one" >"$work/out" 2>&1 || bad "one process"
hosts_up 4 "$work"
two=(--set parallel.cp=2) four=(--set parallel.cp=2 --set parallel.dp=2)

on_hosts "$work" 2 "$mixspan" train "$work/run.toml" --run-dir "$work/two" "${two[@]}" >"$work/out" 2>&1
same_losses "$work/one" "$work/two" && ok "two hosts: the losses of one process" || bad "two hosts"
on_hosts "$work" 4 "$mixspan" train "$work/run.toml" --run-dir "$work/four" "${four[@]}" >"$work/out" 2>&1
same_losses "$work/one" "$work/four" && ok "four hosts: the losses of one process" || bad "four hosts"

start_until told 12 4 "${four[@]}" || bad "the run to stop did not start"
kill -TERM "$(rank_on_host 3)" # that one alone: all must agree
wait $job
[[ $? == 75 ]] && grep -q "stopped at step" "$work/out" && ok "a signal to one rank stops all, saved" ||
  bad "a signal to one rank"
on_hosts "$work" 4 "$mixspan" train "$work/run.toml" --run-dir "$work/told" "${four[@]}" >"$work/out" 2>&1
cmp -s <(losses "$work/four") <(losses "$work/told") &&
  ok "and the run goes on to the same losses" || bad "resume after a signal"

start_until killed 12 4 "${four[@]}" || bad "the run to kill did not start"
kill -KILL "$(rank_on_host 3)"
ends_within 15 && ok "a killed rank ends all" || bad "a killed rank"
on_hosts "$work" 4 "$mixspan" train "$work/run.toml" --run-dir "$work/killed" "${four[@]}" >"$work/out" 2>&1
cmp -s <(losses "$work/four") <(losses "$work/killed") &&
  ok "and the run goes on to the same losses" || bad "resume after a kill"

start_until stopped 12 4 "${four[@]}" || bad "the run to stop did not start"
kill -STOP "$(rank_on_host 3)"
ends_within 25 && names 2 && ok "a rank that hangs is named, all end" ||
  bad "a rank that hangs"

start_until cut 12 4 "${four[@]}" || bad "the run to cut did not start"
ip -n ms-h2 link set eth0 down
ends_within 40 && names 1 && ok "a cut link: the missing rank is named, all end" ||
  bad "a cut link"
ip -n ms-h2 link set eth0 up
on_hosts "$work" 4 "$mixspan" train "$work/run.toml" --run-dir "$work/cut" "${four[@]}" >"$work/out" 2>&1
cmp -s <(losses "$work/four") <(losses "$work/cut") &&
  ok "and the run goes on to the same losses" || bad "resume after a cut"
exit $((failures > 0))
