# Sourced by the checks: which files they look at.
# shellcheck shell=bash
set -euo pipefail

# tracked_files ROOT REGEX: the project's files, relative to ROOT, whose path matches the extended regular
# expression. With git: what is tracked or would be; without: everything but build and run folders.
tracked_files() {
  {
    git -C "$1" ls-files --cached --others --exclude-standard 2>/dev/null ||
      (cd "$1" && find . -type f -not -path './.git/*' -not -path './build*' -not -path './runs/*' |
        sed 's|^\./||')
  } | LC_ALL=C sort -u | grep -E "$2" | while IFS= read -r file; do
    [[ -f $1/$file ]] && printf '%s\n' "$file"
  done || true
}
