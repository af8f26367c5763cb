# Waits until the test process has ended, then clears the directory $1. See workspace.rs.
trap '' HUP INT QUIT TERM
while read -r _; do :; done

clear_all() {
    # A segment goes when the last process that uses it does. The lock file names it on its seventh line.
    for lock in "$1"/*/data/postmaster.pid; do
        segment=$(sed -n '7s/.* //p' "$lock" 2>/dev/null)
        [ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
    done
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" 2>/dev/null) in
            "$1"/*) kill -9 "${process#/proc/}" 2>/dev/null ;;
        esac
    done
    for server in "$1"/*/; do
        [ -e "$server/evidence" ] || rm -rf "$server"
    done
    # Fails while something is left: evidence, or files of a process that is still ending.
    rmdir "$1"
}

# First, the servers' own signal has a moment to work; then a few rounds.
for round in 1 2 3 4 5 6; do
    sleep 0.3
    clear_all "$1" && exit
done
