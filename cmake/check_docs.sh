#!/bin/bash
# What the documents say is there: links and `folder/file` names in *.md resolve, every package that CMake names is
# in scripts/packages.txt, and no file speaks of the machine it was written on. Prints file:line for each failure.
#   cmake/check_docs.sh [ROOT]
source "$(dirname "${BASH_SOURCE[0]}")/tracked_files.sh"
root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
cd "$root"
failures=0
links=0

bad() {
  echo "$*"
  failures=$((failures + 1))
}

# [text](target): a file beside the document, or from the root with a leading slash; #anchors are headings.
while IFS=: read -r file line link; do
  target=${link#*](}
  target=${target%)}
  [[ $target =~ ^(https?:|mailto:) ]] && continue
  links=$((links + 1))
  path=${target%%#*}
  if [[ -z $path ]]; then
    path=$(basename "$file")
  fi
  if [[ ! -e $(dirname "$file")/$path ]]; then
    bad "$file:$line: link to $target, which is not there"
  elif [[ $target == *#* ]]; then
    anchors=$(grep -E '^#+ ' "$(dirname "$file")/$path" | sed -E 's/^#+ +//' | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-')
    grep -qxF -- "${target#*#}" <<<"$anchors" || bad "$file:$line: no heading for $target"
  fi
done < <(tracked_files . '\.md$' | tr '\n' '\0' | xargs -0 -r grep -noHE '\]\([^) ]+\)')

# `core/tensor.h` in backticks: a file of the project that must exist. Patterns (*, {a,b}, NAME) are not names.
while IFS=: read -r file line name; do
  name=${name//\`/}
  links=$((links + 1))
  [[ -e $name || -e $name.in ]] || bad "$file:$line: \`$name\` is not there"
done < <(tracked_files . '\.md$' | tr '\n' '\0' | xargs -0 -r grep -noHE \
  '`(core|kernels|parallel|layers|data|experiments|tests|cmake|docs|scripts|slurm|\.ci)/[a-z0-9_./-]*`')

# Packages named in CMake's "missing" messages are those that scripts/setup installs.
packages=$(sed -e 's/#.*//' -e 's/[| ]/\n/g' scripts/packages.txt 2>/dev/null || true)
while IFS=: read -r file line name; do
  grep -qxF -- "$name" <<<"$packages" || bad "$file:$line: package $name is not in scripts/packages.txt"
done < <(tracked_files . '^cmake/dependencies\.cmake$' | tr '\n' '\0' |
  xargs -0 -r grep -noHE 'lib[a-z0-9.+-]+-dev|nlohmann-json3-dev')

# Places on the machine of whoever wrote it.
while IFS= read -r hit; do
  bad "$hit: a place on one machine"
done < <(tracked_files . . | tr '\n' '\0' |
  xargs -0 -r grep -nIoHE '(^|[^A-Za-z0-9_.}])/(work|tmp/peer|root/|home/[a-z])[A-Za-z0-9_./-]*' || true)

echo "$links links and names, $failures failures"
[[ $failures -eq 0 && $links -gt 0 ]]
