/* submit.c: submits standard input, which must be JSON, as a job, and prints its id.
 *
 *     cc -o submit submit.c && echo '{"n": 1}' | ./submit ROOT/QUEUE
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static char temporary[4096], target[4096];

static void fail(const char *doing, const char *path)
{
    warn("cannot %s %s", doing, path);
    unlink(temporary); /* whichever of the two it is called by now: no half a job, no job that was not promised */
    unlink(target);
    exit(1);
}

/* 10 characters of milliseconds, 16 of chance, in Crockford's base 32. */
static void make_id(char *id)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    unsigned char chance[16];
    struct timespec now;
    if (getrandom(chance, sizeof chance, 0) != sizeof chance || clock_gettime(CLOCK_REALTIME, &now) != 0)
        err(1, "cannot make an id");
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    for (int i = 9; i >= 0; i--, ms >>= 5)
        id[i] = digits[ms & 31];
    for (int i = 0; i < 16; i++)
        id[10 + i] = digits[chance[i] & 31];
    id[26] = '\0';
}

static void write_all(int fd, const char *data, size_t size)
{
    for (ssize_t n; size > 0; data += n, size -= n)
        if ((n = write(fd, data, size)) < 0)
            fail("write", temporary);
}

int main(int argc, char **argv)
{
    static char data[1 << 16];
    static const char options[] = "{\"fsq\":1}\n"; /* line 1; what it may hold is in docs/format.md */
    char directory[4000], id[27];
    ssize_t size;
    if (argc != 2 || snprintf(directory, sizeof directory, "%s/new", argv[1]) >= (int)sizeof directory)
        errx(2, "usage: submit ROOT/QUEUE < payload");
    make_id(id);
    snprintf(temporary, sizeof temporary, "%s/tmp/5-%s-0", argv[1], id); /* priority 5, no attempt yet */
    snprintf(target, sizeof target, "%s/5-%s-0", directory, id);

    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        err(1, "cannot create %s", temporary);
    write_all(fd, options, strlen(options));
    while ((size = read(0, data, sizeof data)) > 0)
        write_all(fd, data, size);
    if (size < 0)
        fail("read", "standard input");
    if (fsync(fd) != 0 || close(fd) != 0) /* the content, before anybody can see it */
        fail("sync", temporary);
    if (rename(temporary, target) != 0) /* the commit */
        fail("rename", temporary);
    if ((fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(fd) != 0) /* the name */
        fail("sync", directory);
    puts(id);
    return fflush(stdout) == 0 ? 0 : 1;
}
