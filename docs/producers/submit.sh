#!/bin/sh
# submit.sh QUEUE [FILE]: submits FILE, or what stands on standard input, as a bare job. QUEUE is ROOT/NAME.
# Needs a POSIX sh, and a sync and mv that know `sync FILE` and `mv -n`: coreutils have both.
set -eu

queue=$1
name=$(date +%s).$$.$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
temporary=$queue/tmp/$name

trap 'rm -f "$temporary"' EXIT
cat ${2+"$2"} >"$temporary"
sync "$temporary" # before the rename: else a power cut can leave an empty job
mv -n "$temporary" "$queue/new/"
if [ -e "$temporary" ]; then # mv -n need not complain when the name is in use
    echo "submit.sh: $queue/new/$name is there already" >&2
    exit 1
fi
sync "$queue/new" # after it: else a power cut can lose the job that we say is safe
echo "$name"
