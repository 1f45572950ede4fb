# Counts the requests, errors and bytes of an hour of a web server's log, and writes them as one line of JSON.
# Exit status: 0 done; 65 hopeless, to failed/ at once; 75 not now, another attempt. Nothing is handed over unless it is 0.

$1 == "still-resolving.example" && ENVIRON["FSQ_ATTEMPT"] == 1 {
    print "the name server is busy (on purpose)" > "/dev/stderr"
    exit status = 75
}
NF < 10 || $9 !~ /^[0-9]+$/ {
    print "line " NR " is no line of a log" > "/dev/stderr"
    exit status = 65
}
{
    split($4, time, ":")
    errors += $9 >= 500
    bytes += $10
}
END {
    if (status) exit status
    printf "{\"hour\": \"%s\", \"requests\": %d, \"errors\": %d, \"bytes\": %d}\n", time[2], NR, errors, bytes
}
