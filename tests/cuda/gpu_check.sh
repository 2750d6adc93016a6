#!/bin/bash
# scripts/gpu_check with programs that fail, crash, hang or are not there: each part is judged for itself, keeps what it
# wrote, and leaves no process behind. A fifth of its time, which what does not hang needs on no machine, however busy.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$root/scripts/gpu_check" "$folder/"
cat >"$folder/run" <<'END'
#!/bin/bash
case "$*" in
  *list_tests*B.*) printf 'B.\n  One\n  Two\n' ;;
  *list_tests*) printf 'B.\n  One\n  Two\nHopper.\n  X\nFused/AttentionX.\n  One/0  # GetParam() = 2\nTrainingOnDevice/C.\n  One  # GetParam() = 3\n' ;;
  *"filter=B.*"*) echo "a bad access" && kill -SEGV $$ ;;
  *filter=B.Two*) exec sleep 98765 ;; # as the real one does: nothing else holds its output open
  test_cuda*) echo "[  PASSED  ] 1 test." ;;
  bench_cuda_step*) echo "a row" && sleep 98765 ;;
  bench_cuda_attention*) exit 3 ;;
  bench_cuda_matmul*) echo "no device" && exit 77 ;;
  *) echo "fine" ;;
esac
END
chmod +x "$folder/run"
echo 'print("torch")' >"$folder/gpu_peers.py"

bad=0
expect() { # FILE REGEX
  grep -qE "$2" "$folder/out/$1" || { echo "$1 has no line '$2'; it is:" && cat "$folder/out/$1" && bad=1; }
}
status=0
LIMIT_SCALE=0.2 OUT=$folder/out "$folder/gpu_check" >/dev/null || status=$?
[[ $status -eq 1 ]] || { echo "status $status; wanted 1" && bad=1; }
expect summary.txt '^tests .* (FAILED|cut off .*, with failures)'
expect summary.txt '^step .* cut off after 17 s$'
expect summary.txt '^peers_step .* ok$'
expect summary.txt '^attention .* FAILED \(3\)'
expect summary.txt '^matmul .* skipped: no device$'
expect summary.txt '^memory .* ok$'
expect step.txt '^a row$'
expect peers.txt '^torch$'
expect tests.txt '^B\.\* +FAILED \(139\)'
expect tests.txt '^B\.Two +HANGS'
expect tests.txt '^B\.One +1 passed'
expect tests.txt '^TrainingOnDevice/C\.\* +1 passed'
first=$(sed -n 's/\.\* .*//; 1,2p' "$folder/out/tests.txt")
[[ $first == $'Hopper\nFused/AttentionX' ]] || { echo "first come $first" && bad=1; }
OUT=$folder/good "$folder/gpu_check" memory peers >/dev/null || { echo "what is good alone fails" && bad=1; }
[[ $(ls "$folder/good") == $'memory.txt\npeers.txt\nsummary.txt' ]] || { echo "other parts ran too" && bad=1; }
if pgrep -f "^sleep 98765" >/dev/null; then
  echo "a process is left behind" && bad=1
fi
exit $bad
