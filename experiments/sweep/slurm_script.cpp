#include "experiments/sweep/slurm_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace mixspan {

namespace {

// Whether sbatch is asked for GPUs by an option of its own.
bool asks_for_gpus(const std::vector<std::string>& options) {
  return std::any_of(options.begin(), options.end(), [](const std::string& option) {
    return option.starts_with("--gres") || option.starts_with("--gpus");
  });
}

constexpr std::string_view kPlainCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%^";

void require_one_line(const std::string& key, const std::string& value) {
  require(value.find('\n') == std::string::npos, "{}: wanted one line, got several", key);
}

// Nodes, and ranks on each, of one run.
std::vector<std::string> shape_options(const SlurmLaunch& l, const SlurmArray& a) {
  const std::int64_t ranks = a.ranks, gpus = a.on_gpus ? l.gpus_per_node : 0;
  std::int64_t nodes = l.nodes, on_node = l.tasks_per_node;
  if (gpus > 0 && nodes == 0 && on_node == 0) on_node = std::min(gpus, ranks);
  if (nodes == 0 && on_node > 0) nodes = (ranks + on_node - 1) / on_node;
  if (on_node == 0 && nodes > 0) on_node = (ranks + nodes - 1) / nodes;
  require(
      nodes == 0 || (nodes <= ranks && nodes * on_node >= ranks),
      "slurm.nodes = {}, slurm.tasks_per_node = {}: cannot hold a run of {} ranks; wanted nodes "
      "x tasks_per_node of at least that and no node without a rank, or slurm.nodes = 0",
      l.nodes, l.tasks_per_node, ranks);
  require(gpus == 0 || on_node <= gpus,
          "slurm.gpus_per_node = {}: {} ranks on a node would share them; wanted one for each rank",
          gpus, on_node);
  std::vector<std::string> options;
  if (nodes > 0) options.push_back(fmt::format("--nodes={}", nodes));
  options.push_back(fmt::format("--ntasks={}", ranks));
  if (on_node > 0) options.push_back(fmt::format("--ntasks-per-node={}", on_node));
  return options;
}

// A path in an #SBATCH line, where sbatch understands double quotes; `pattern` is added as it is.
std::string sbatch_path(const std::filesystem::path& path, const std::string& pattern = "") {
  std::string escaped;
  for (const char c : path.string()) {
    require(c != '"' && c != '\n' && c != '\\',
            "{}: a path with quotes, backslashes or line ends cannot be given to sbatch",
            path.string());
    escaped += c;
    if (c == '%') escaped += c;  // else %x is the job's name, and so on
  }
  return fmt::format("\"{}{}\"", escaped, pattern);
}

std::vector<std::string> sbatch_options(const SlurmLaunch& l, const SlurmArray& a) {
  require(!a.on_gpus || l.gpus_per_node > 0 || asks_for_gpus(l.sbatch),
          "slurm.gpus_per_node = 0: runs with device = \"cuda\" want GPUs; wanted how many a node "
          "has for them, or an option of slurm.sbatch such as \"--gres=gpu:4\"");
  std::vector<std::string> options{
      "--job-name=" + a.name,
      fmt::format("--array=0-{}{}", a.tasks - 1,
                  l.max_at_once > 0 ? fmt::format("%{}", l.max_at_once) : "")};
  const auto add_text = [&](const char* name, const std::string& value) {
    require_one_line(fmt::format("slurm.{}", name), value);
    if (!value.empty()) options.push_back(fmt::format("--{}={}", name, value));
  };
  add_text("partition", l.partition);
  add_text("account", l.account);
  add_text("qos", l.qos);
  add_text("constraint", l.constraint);
  add_text("time", l.time);
  for (const std::string& option : shape_options(l, a)) options.push_back(option);
  if (l.cpus_per_task > 0) options.push_back(fmt::format("--cpus-per-task={}", l.cpus_per_task));
  if (a.on_gpus && l.gpus_per_node > 0)
    options.push_back(fmt::format("--gpus-per-node={}", l.gpus_per_node));
  add_text("mem", l.mem);
  options.push_back("--requeue");
  options.push_back("--open-mode=append");
  options.push_back(fmt::format("--signal=B:USR1@{}", l.signal_before_s));
  options.push_back("--chdir=" + sbatch_path(a.working_dir));
  options.push_back("--output=" + sbatch_path(a.folder / "slurm", "/%A_%a.log"));
  for (const std::string& option : l.sbatch) {
    require_one_line("slurm.sbatch", option);
    options.push_back(option);
  }
  return options;
}

constexpr std::string_view kBody = R"sh(
# The list is written when all runs are marked as queued, perhaps some time after the start of this
# job. While submitting.txt grows, that goes on.
list=$folder/slurm/runs-$SLURM_ARRAY_JOB_ID.txt
grown=
for ((waited = 0; waited < 120; waited++)); do
  [[ -e $list ]] && break
  size=$(wc -c 2>/dev/null <"$folder/slurm/submitting.txt")
  [[ $size = "$grown" ]] || waited=0
  grown=$size
  sleep 1
done
run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$list")
if [[ -z $run ]]; then
  echo "$list: names no run for task $SLURM_ARRAY_TASK_ID; start the sweep again" >&2
  exit 1
fi
task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
restart=${SLURM_RESTART_COUNT:-0}
status_file=$folder/runs/$run/status.json
status_before=$(cat "$status_file" 2>/dev/null)
echo "== $run: job $task, restart $restart, on $SLURM_JOB_NODELIST"

# Ranks are tasks of srun, in the background so that this shell can take signals. A signal becomes
# USR1, which srun hands on to all ranks: the run saves a checkpoint and ends with 75.
stopped=0
run_step() {
  local signalled=0
  trap 'signalled=1; kill -USR1 "$step" 2>/dev/null' USR1 TERM
  srun @SRUN@ "$mixspan" train "$folder/configs/$run.toml" --run-dir "$folder/runs/$run" &
  step=$!
  while :; do
    signalled=0
    wait "$step"
    code=$?
    ((signalled)) || break # a signal ends wait, not srun
    stopped=1
  done
  trap - USR1 TERM
  echo "== $run: srun ended with $code"
  status_after=$(cat "$status_file" 2>/dev/null)
}
run_step
# Steps that fail before the run begins. A node that lost power keeps the socket of the step, and
# cannot start one of that number again (Slurm 22.05); the next step has another number. And under
# srun a rank of Open MPI 4.1 may crash inside MPI_Init, by a message of one that is through it
# (docs/verified.md).
if ((stopped == 0)) && [[ $code != [0-2] && $code != 7[56] && $status_after = "$status_before" ]]; then
  echo "== $run: did not begin; once more"
  run_step
fi

# What the run says of its end, "interrupted" for example, if it said anything since this job began.
state=$(sed -n 's/.*"state": "\([a-z]*\)".*/\1/p' <<<"$status_after")
[[ $status_after = "$status_before" ]] && state=unchanged-$state

# Where the run only stopped, the task goes back to the queue and goes on from the checkpoint. srun
# may hide the code 75 of the run behind that of a rank it ended, so what the run says counts too.
again=0
case $code in
  0) exit 0 ;;
  75 | 76) again=1 ;; # saved and stopped; lost a rank or its folder
  2) [[ $state = unchanged-running || $state = unchanged-saving ]] && again=1 ;; # another writes yet
  *) [[ $stopped = 1 && $state != failed || $state = interrupted ]] && again=1 ;;
esac
((again)) || exit "$code"
known=$(scontrol show job "$task")
lease=$folder/runs/$run/lease.json
if [[ $code = 76 && -e $lease ]] && ! grep -q "\"job_id\": \"$task\"" "$lease"; then
  echo "== $run: another job writes it now, so this one ends"
elif ! grep -qE 'JobState=RUNNING|Reason=TimeLimit' <<<"$known"; then
  # By scancel, say: Slurm would start even that task again, and says COMPLETING of it.
  echo "== $run: ended by Slurm: $(grep -oE '(JobState|Reason)=[^ ]*' <<<"$known" | paste -sd' ')"
elif ! grep -qw "Restarts=$restart" <<<"$known"; then
  # This script outlived the slurmd of a node that Slurm gave up.
  echo "== $run: Slurm has started this task again already"
elif ((restart >= max_restarts)); then
  echo "== $run: all $max_restarts restarts are used; \`mixspan sweep retry\` goes on" >&2
elif scontrol requeue "$task"; then
  sleep 60 # the requeue ends this script
fi
exit "$code"
)sh";

std::string srun_words(const SlurmLaunch& l) {
  // A rank that dies without a word ends the run now, not after parallel.timeout_s.
  std::string words = "--kill-on-bad-exit=1";
  // srun does not take this from the job since Slurm 22.05.
  if (l.cpus_per_task > 0) words += fmt::format(" --cpus-per-task={}", l.cpus_per_task);
  for (const std::string& option : l.srun) {
    require_one_line("slurm.srun", option);
    words += fmt::format(" {}", shell_word(option));
  }
  return words;
}

}  // namespace

std::string shell_word(const std::string& text) {
  if (!text.empty() && text.find_first_not_of(kPlainCharacters) == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  word += '\'';
  return word;
}

std::string array_script(const SlurmLaunch& l, const SlurmArray& a) {
  std::string script = fmt::format(
      "#!/bin/bash\n"
      "# Sweep {}: task k of this array is the run on line k + 1 of runs-JOB.txt beside this "
      "file.\n"
      "# Made anew whenever runs are submitted; change [slurm] of the sweep file instead.\n",
      a.name);
  for (const std::string& option : sbatch_options(l, a)) script += "#SBATCH " + option + "\n";
  script += fmt::format("folder={}\nmixspan={}\nmax_restarts={}\n", shell_word(a.folder.string()),
                        shell_word(a.program.string()), l.max_restarts);
  for (const std::string& module : l.modules) {
    require_one_line("slurm.modules", module);
    script += fmt::format("module load {}\n", shell_word(module));
  }
  for (const std::string& line : l.setup) script += line + "\n";
  std::string body(kBody);
  constexpr std::string_view kPlace = "@SRUN@";
  body.replace(body.find(kPlace), kPlace.size(), srun_words(l));
  return script + body;
}

}  // namespace mixspan
