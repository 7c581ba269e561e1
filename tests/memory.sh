#!/usr/bin/env bash
# The real program through every line of its unsafe code, under a checker of memory: an error in any of its processes, the
# forked ones included, or a byte that is definitely lost, fails this.
#
#     memory.sh valgrind BINARY FIXTURE    reads of what was never written, the fallbacks for systems without pidfds
#     memory.sh asan BINARY FIXTURE        BINARY is built with the address sanitizer: stacks and globals, pidfds
#
# valgrind 3.19 knows no pidfd_open and no close_range: there the supervisor goes on as under an old kernel. Under the
# sanitizer it takes the usual ways. Neither is a substitute for the other.
set -euo pipefail
checker=$1 binary=$2 fixture=$3

reports=$(mktemp -d)
trap 'rm -rf "$reports" "$reports.supp"' EXIT

case $checker in
valgrind)
    # A forked copy has the memory of threads that it does not have, and a thread that an exit ends where it stands gives
    # nothing back: what threads are started with, and the list of what they are to give back, is no leak.
    cat >"$reports.supp" <<'END'
{
   thread-ended-by-exit
   Memcheck:Leak
   match-leak-kinds: definite
   fun:calloc
   fun:__cxa_thread_atexit_impl
   ...
}
{
   thread-of-a-forked-copy
   Memcheck:Leak
   match-leak-kinds: definite
   ...
   fun:*spawn_unchecked*
   ...
}
{
   service-of-a-forked-copy
   Memcheck:Leak
   match-leak-kinds: definite
   ...
   fun:*threads*start_service*
   ...
}
{
   last-good-answers-of-a-forked-copy
   Memcheck:Leak
   match-leak-kinds: definite
   ...
   fun:*lastgood*room*
   ...
}
{
   batch-that-a-thread-of-a-forked-copy-has-taken
   Memcheck:Leak
   match-leak-kinds: definite
   ...
   fun:*ledger*hared*note*
   ...
}
{
   record-that-a-thread-of-a-forked-copy-has-open
   Memcheck:Leak
   match-leak-kinds: definite
   ...
   fun:*store*room*
   ...
}
END
    # --error-exitcode would be lost with forked processes, of which nobody sees the code: their reports are looked at.
    command=(valgrind --quiet --num-callers=40 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite
        --suppressions="$reports.supp" --log-file="$reports/%p")
    ;;
asan)
    # What is still reachable at an exit that drops nothing is no leak. The stack of a forked copy is none of its own.
    command=(env ASAN_OPTIONS="log_path=$reports/report:detect_leaks=0:handle_segv=1:exitcode=99")
    ;;
*)
    echo "no such checker: $checker" >&2
    exit 2
    ;;
esac

python3 "$(dirname "$0")/memory.py" "$binary" "$fixture" "${command[@]}"

# What valgrind says of system calls that it does not know is no error of the program.
found=$(cat "$reports"/* 2>/dev/null | grep -Ev '^--[0-9]+-- |^==[0-9]+== *$' || true)
if [ -n "$found" ]; then
    printf '%s\n' "$found" | head -200 >&2
    echo "memory: $checker has found something" >&2
    exit 1
fi
if [ "$checker" = valgrind ] && [ -z "$(ls "$reports")" ]; then
    echo "memory: valgrind has not run" >&2
    exit 1
fi
echo "$checker: nothing found, in $(find "$reports" -type f | wc -l) reports"
