#!/usr/bin/env bash
# The completions in the shells themselves: `completions.sh BINARY`. Each shell loads what the program prints, without any of the
# user's own settings, and is asked what follows. Needs bash, zsh and fish.
set -euo pipefail

binary=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder XDG_CONFIG_HOME=$folder XDG_DATA_HOME=$folder XDG_CACHE_HOME=$folder ZDOTDIR=$folder
mkdir "$folder/zsh"
"$binary" completions bash >"$folder/bash"
"$binary" completions zsh >"$folder/zsh/_mcp-supervise"
"$binary" completions fish >"$folder/fish"

# What a line can be completed with, one a line; asked by a shell's own means.
in_bash() {
    bash --noprofile --norc -euc '
        source "$1"
        read -ra COMP_WORDS <<<"$2"
        [ "${2% }" = "$2" ] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
        read -ra how <<<"$(complete -p mcp-supervise)"
        # `complete -F FUNCTION ... mcp-supervise`
        for at in "${!how[@]}"; do [ "${how[at]}" != -F ] || complete=${how[at + 1]}; done
        "$complete" mcp-supervise "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"
    ' bash "$folder/bash" "$1"
}

in_zsh() {
    TERM=xterm zsh -f -c '
        zmodload zsh/zpty
        # A shell with a line editor: its Tab completes, and lists.
        zpty shell zsh -f -i
        zpty -w shell "PROMPT=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; setopt no_list_ambiguous; LISTMAX=9999; stty rows 200 columns 120; echo READY\$((40 + 2))"
        # The line editor has the terminal when it asks for bracketed paste; a Tab before that is only echoed.
        zpty -r -m shell said "*READY42*2004h*"
        # Then the line is thrown away, and the end is a word of ours.
        zpty -w -n shell "$2"$'"'\t\x15'"'
        zpty -w shell "echo DONE\$((40 + 2))"
        zpty -r -m shell said "*DONE42*"
        print -r -- "$said"
    ' zsh "$folder/zsh" "$1"
}

in_fish() {
    fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$folder/fish" "$1"
}

for shell in bash zsh fish; do
    while IFS='|' read -r line words; do
        found=$("in_$shell" "$line" 2>&1 </dev/null || true)
        for word in $words; do
            grep -q -- "$word" <<<"$found" || { echo "$shell: '$line' is not completed with $word, but with: $found" >&2 && exit 1; }
        done
    done <<'LINES'
mcp-supervise |check wrap unwrap status monitor demo
mcp-supervise che|check
mcp-supervise --max|--max-restarts --max-line --max-answer
mcp-supervise check --f|--fail-on --format
mcp-supervise check --format |text json junit sarif github
mcp-supervise wrap --host |claude-desktop cursor vscode
mcp-supervise status --|--json --watch --report
LINES
    echo "ok: $shell completes"
done
