#!/bin/bash
# Sizes: file <= 400 lines, header <= 150, function <= 120 (60 is the aim outside kernels/). Prints the worst
# five of each and fails over a limit. Function lengths come from counting braces, so they are rough.
#   cmake/check_budgets.sh [ROOT]
source "$(dirname "${BASH_SOURCE[0]}")/tracked_files.sh"
root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
cd "$root"
max_file=400 max_header=150 max_function=120 aim=60
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mapfile -t sources < <(tracked_files . '^(core|kernels|parallel|layers|data|experiments|tests)/.*\.(h|cpp|cu|cuh|inc)$')
if [[ ${#sources[@]} -eq 0 ]]; then
  echo "no source found: wrong folder?"
  exit 1
fi

awk 'FNR == 1 && name { print count, name } { name = FILENAME; count = FNR } END { print count, name }' \
  "${sources[@]}" >"$scratch/files"
grep -E '\.(h|cuh)$' "$scratch/files" >"$scratch/headers" || true

# LENGTH FILE:LINE NAME of every function body (a brace after a parenthesis, outside any other body).
awk '
  function strip(s) {               # no comments, no strings, no characters
    if (raw) {                      # inside a raw string that began on an earlier line
      if ((at = index(s, raw)) == 0) return ""
      s = substr(s, at + length(raw)); raw = ""
    }
    if (match(s, /R"[^(]*\(/) && s !~ /\/\/.*R"/) {
      mark = ")" substr(s, RSTART + 2, RLENGTH - 3) "\""
      rest = substr(s, RSTART + RLENGTH); s = substr(s, 1, RSTART - 1)
      if ((at = index(rest, mark)) > 0) s = s substr(rest, at + length(mark)); else raw = mark
    }
    gsub(/\\./, "", s)
    gsub(/'\''[^'\'']'\''/, "c", s)
    gsub(/"[^"]*"/, "s", s)
    sub(/\/\/.*/, "", s)
    if (s ~ /^[ \t]*#/) s = ""
    return s
  }
  function name_of(t) {
    sub(/\(.*/, "", t); sub(/[ \t]+$/, "", t); sub(/.*[ \t&*]/, "", t)
    return t == "" ? "(unnamed)" : t
  }
  function is_body(t) { return t ~ /\)/ && t !~ /=[ \t]*$/ && t !~ /^[ \t]*(namespace|class|struct|enum|union)[ \t]/ }
  FNR == 1 { depth = 0; text = ""; body = -1; raw = ""; first = 0; held = "" }
  {
    line = strip($0)
    while (match(line, /[{};]/)) {
      before = substr(line, 1, RSTART - 1); brace = substr(line, RSTART, 1); line = substr(line, RSTART + 1)
      if (body < 0) { if (text ~ /^[ \t]*$/ && before !~ /^[ \t]*$/) first = FNR; text = text before }
      if (brace == "{") {
        if (body < 0 && is_body(text)) { body = depth; start = first; held = text }
        if (body < 0) text = ""
        depth++
      } else if (brace == "}") {
        depth--
        if (body == depth) {
          if (line ~ /^[ \t]*[,{]/ && held ~ /\)[^;]*:/) {   # a_{1} of a constructor: the body comes later
            body = -1; text = held; continue
          }
          print FNR - start + 1, FILENAME ":" start, name_of(held)
          body = -1; text = ""
        } else if (body < 0) text = ""
      } else if (body < 0) text = ""
    }
    if (body < 0) { if (text ~ /^[ \t]*$/ && line !~ /^[ \t]*$/) first = FNR; text = text line " " }
  }' "${sources[@]}" >"$scratch/functions"

failed=0
# worst TITLE LIMIT FILE: the five longest, then a line for each that is over the limit.
worst() {
  local over
  echo "$1: $(wc -l <"$3"), limit $2 lines; the longest:"
  sort -rn "$3" | sed -n '1,5s/^/  /p'
  over=$(awk -v limit="$2" '$1 > limit { print $2 ": " $1 " lines, more than " limit, $3 }' "$3")
  if [[ -n $over ]]; then
    echo "$over"
    failed=1
  fi
}
worst files $max_file "$scratch/files"
worst headers $max_header "$scratch/headers"
worst functions $max_function "$scratch/functions"
echo "functions over $aim lines outside kernels/ and tests/:" \
  "$(grep -vE ' (kernels|tests)/' "$scratch/functions" | awk -v aim=$aim '$1 > aim' | wc -l)"
exit $failed
