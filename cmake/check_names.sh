#!/bin/bash
# Every type has a name of its own: two of one name in one namespace are one type to the linker, which keeps the
# functions of either (the one-definition rule), and no compiler says so. Prints file:line for every repeated name.
#   cmake/check_names.sh [ROOT]
source "$(dirname "${BASH_SOURCE[0]}")/tracked_files.sh"
root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
cd "$root"

# Definitions at the beginning of a line: not indented as members are, not ended by ";" as declarations are.
tracked_files . '\.h$' | tr '\n' '\0' |
  xargs -0 -r grep -nHE '^((namespace [a-z:]+ \{)|((struct|class|enum class|enum|union) [A-Za-z_0-9]+( final)?( : .*)? \{))' |
  awk '
  {
    split($0, part, ":"); file = part[1]; line = part[2]
    text = substr($0, length(file) + length(line) + 3)
    if (file != before) { scope = ""; before = file }
    if (text ~ /^namespace /) { split(text, word, " "); scope = word[2]; next }
    sub(/^(enum class|struct|class|enum|union) /, "", text)
    split(text, word, " ")
    name = scope "::" word[1]
    count++
    if (name in place) { printf "%s:%s: %s is defined in %s too\n", file, line, name, place[name]; bad++ }
    else place[name] = file ":" line
  }
  END {
    if (count == 0) { print "no type found: wrong folder?"; exit 1 }
    printf "%d types, %d names used twice\n", count, bad; exit bad > 0
  }'
