// submit.go: submits standard input, which must be JSON, as a job, and prints its id.
//
//	echo '{"n": 1}' | go run submit.go ROOT/QUEUE
package main

import (
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"
)

// newID makes a ULID: 10 characters of milliseconds, 16 of chance, in Crockford's base 32.
func newID() (string, error) {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	id := make([]byte, 26)
	if _, err := rand.Read(id[10:]); err != nil {
		return "", err
	}
	for i := 10; i < 26; i++ {
		id[i] = digits[id[i]&31]
	}
	for i, ms := 9, time.Now().UnixMilli(); i >= 0; i, ms = i-1, ms>>5 {
		id[i] = digits[ms&31]
	}
	return string(id), nil
}

// Submit puts a job into the queue (ROOT/NAME). When it returns no error the job survives a power cut;
// when it returns one there is no job.
func Submit(queue string, payload []byte) (id string, err error) {
	if id, err = newID(); err != nil {
		return "", err
	}
	name := "5-" + id + "-0" // priority 5, no attempt yet
	temporary := filepath.Join(queue, "tmp", name)
	target := filepath.Join(queue, "new", name)
	// Line 1: length and checksum may be left out; with them a damaged payload is found out.
	line := fmt.Sprintf("{\"fsq\":1,\"len\":%d,\"crc\":%d}\n", len(payload), crc32.ChecksumIEEE(payload))
	defer func() {
		if err != nil {
			os.Remove(temporary)
			os.Remove(target)
		}
	}()
	if err = writeSynced(temporary, append([]byte(line), payload...)); err != nil {
		return "", err
	}
	if err = os.Rename(temporary, target); err != nil { // the commit
		return "", err
	}
	return id, syncDirectory(filepath.Join(queue, "new"))
}

// writeSynced returns when the content is on the disk; nobody looks into tmp/ before.
func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(data); err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

// syncDirectory returns when the directory's names are on the disk.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: submit ROOT/QUEUE < payload")
	}
	payload, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	id, err := Submit(os.Args[1], payload)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}
