#!/bin/bash
# Runs every command of a page, in order, in a folder laid out as the page expects: lines of ```sh blocks are
# commands, ```toml blocks are written to the file that the text before names, any other block must have a language of
# its own. A reader's next block starts when the jobs of the last one are over.
#   tests/documents/commands.sh MIXSPAN PAGE
# Exit 77 (skipped) where the page is about Slurm and there is none.
set -uo pipefail
mixspan=$(realpath "$1")
page=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# "COMMAND|why it is not run here".
not_run=(
  "scripts/quickstart|installs packages and builds; scripts/fresh_machine runs it, on an empty machine"
  "scripts/test|runs this test"
)
# Long ones: Ctrl-C as soon as they listen to it, then status 75, of a run with a checkpoint after the first step.
interrupted=(
  "./mixspan train my.toml --run-dir runs/mine"
  "./mixspan train my.toml --run-dir runs/sliding --set model.full_layers=none"
  "./mixspan train my.toml --ranks 4 --set parallel.cp=4"
  "./mixspan sweep where.toml"
)

work=$(mktemp -d)
failures=0 count=0
bad() {
  echo "FAIL  $*"
  failures=$((failures + 1))
}
end() {
  [[ $page != slurm/* ]] || "$root/slurm/sandbox/down"
  rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM

# What the pages take as given: the repository's folders, the program, texts, a home of one's own.
prepare() {
  local file
  for file in "$root"/*; do
    case ${file##*/} in
      runs | build | mixspan) ;;
      *) ln -s "$file" "$work/" ;;
    esac
  done
  ln -s "$mixspan" "$work/mixspan"
  mkdir -p "$work/home/texts"
  find "$root"/*/ -path "$root/build" -prune -o -path "$root/runs" -prune -o -name '*.cpp' -print -o -name '*.h' -print -o \
    -name '*.md' -print | while IFS= read -r file; do
    cp "$file" "$work/home/texts/$(basename "$file").txt"
  done
  unset SLURM_CONF # of another cluster
  cd "$work" && export HOME=$work/home SLURM_SANDBOX_DIR=$work/slurm-sandbox
  # More ranks than processors: they must not spin while they wait for each other.
  export OMPI_MCA_mpi_yield_when_idle=1
}

# in_list COMMAND LIST...: the list's entry, up to a bar, is the command.
in_list() {
  local entry command=$1
  shift
  for entry in "$@"; do
    [[ ${entry%%|*} == "$command" ]] && echo "${entry#*|}" && return
  done
  return 1
}

listens_to_interrupts() {
  local caught
  [[ /proc/$1/exe -ef $mixspan ]] || return # bash yet, with a trap of its own
  caught=$(awk '$1 == "SigCgt:" { print $2 }' "/proc/$1/status" 2>/dev/null)
  (((16#${caught:-0}) & 2))
}

# interrupt COMMAND
interrupt() {
  local job status
  eval "exec $1" &
  job=$!
  until listens_to_interrupts $job; do
    kill -0 $job 2>/dev/null || break
    sleep 0.05
  done
  kill -INT $job 2>/dev/null
  wait $job
  status=$?
  [[ $status == 75 ]] || { echo "status $status instead of 75" && return 1; }
}

# Once the block is over: its jobs are too, all of them well.
wait_for_jobs() {
  local end=$((SECONDS + 120)) wrong
  [[ -e $SLURM_SANDBOX_DIR/pids/head ]] || return 0 # squeue would look for a cluster that is down for a minute
  while [[ -n $(squeue -h) ]]; do
    ((SECONDS < end)) || { bad "jobs that do not end: $(squeue)" && return; }
    sleep 0.2
  done
  wrong=$(scontrol show job -o | grep ' JobState=' | grep -v ' JobState=COMPLETED ')
  [[ -z $wrong ]] || { bad "a job ended otherwise: $wrong" && tail -n 5 ./*.out; }
}

# run COMMAND: as typed; comments are the reader's.
run() {
  local command reason status=0
  command=$(sed -E 's/[[:space:]]+#[^"]*$//' <<<"$1")
  count=$((count + 1))
  if reason=$(in_list "$command" "${not_run[@]}"); then
    echo "not run: $command ($reason)"
    return
  fi
  printf '\n$ %s\n' "$command"
  if in_list "$command" "${interrupted[@]}" >/dev/null; then
    interrupt "$command" || status=$?
  else
    eval "$command" || status=$?
  fi
  [[ $status == 0 ]] || bad "$page:$number: status $status: $command"
}

# Every entry of the lists above is a command of some page.
check_lists() {
  local entry
  for entry in "${not_run[@]}" "${interrupted[@]}"; do
    grep -qhF -- "${entry%%|*}" "$root/README.md" "$root/slurm/README.md" ||
      bad "'${entry%%|*}' is in a list of this test and on no page"
  done
}

prepare
if [[ $page == slurm/* ]]; then
  [[ $(id -u) == 0 ]] || { echo "skipped: a cluster on one machine needs root" && exit 77; }
  command -v slurmctld >/dev/null || { echo "skipped: no Slurm here; scripts/setup --tests installs it" && exit 77; }
fi
check_lists
language='' open='' named='' command='' number=0
while IFS= read -r line <&9; do
  number=$((number + 1))
  if [[ $line == '```'* && -z $open ]]; then
    open=1 language=${line#'```'}
    [[ -n $language ]] || bad "$page:$number: a block without a language: sh is run, toml written, text neither"
    if [[ $language == toml ]]; then
      [[ -n $named ]] || bad "$page:$number: a toml block, and no \`file.toml\` named before it"
      : >"$work/$named"
    fi
  elif [[ $line == '```' ]]; then
    [[ -z $command ]] || bad "$page:$number: a command that does not end"
    [[ $language != sh ]] || wait_for_jobs
    open='' language='' command=''
  elif [[ $language == sh ]]; then
    command+=$line
    if [[ $command == *'\' ]]; then
      command=${command%'\'}
    elif [[ -n $command ]]; then
      run "$command"
      command=''
    fi
  elif [[ $language == toml ]]; then
    printf '%s\n' "$line" >>"$work/$named"
  elif [[ -z $open && -n $line ]]; then
    named=$(grep -oE '`[a-z_-]+\.toml`' <<<"$line" | tail -1 | tr -d '`')
  fi
done 9<"$root/$page"
[[ $count -gt 0 ]] || bad "$page has no command"
for run in runs/*/; do # a run that was not interrupted is finished
  [[ $page != slurm/* || -e $run/result.json ]] || bad "$run is not finished"
done
printf '\n%s: %d commands, %d failures, %d s\n' "$page" $count $failures $SECONDS
exit $((failures > 0))
