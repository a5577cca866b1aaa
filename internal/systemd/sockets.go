package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// firstSocket is the descriptor of the first one, SD_LISTEN_FDS_START.
const firstSocket = 3

// maxSockets is more than any service has; a number beyond it is a mistake.
const maxSockets = 1024

// Sockets returns the listening sockets that the manager has opened for the process with that pid, which must be this one, in its order. The name of a file is
// FileDescriptorName= of its socket unit, by default the unit's own name. They are the caller's to close, and no child inherits them. It may be
// called once. An error means that what the environment says cannot be from a manager.
func Sockets(getenv func(string) string, pid int) ([]*os.File, error) {
	text := getenv("LISTEN_FDS")
	if text == "" || getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("systemd: LISTEN_FDS=%s: want a number of sockets", text)
	}
	names := make([]string, n)
	if text := getenv("LISTEN_FDNAMES"); text != "" {
		if given := strings.Split(text, ":"); len(given) != n {
			return nil, fmt.Errorf("systemd: LISTEN_FDNAMES=%s: %d names for %d sockets", text, len(given), n)
		} else {
			names = given
		}
	}
	var files []*os.File
	for i, name := range names {
		if err := claim(firstSocket + i); err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("systemd: socket %d of LISTEN_FDS=%d %q: %w", i+1, n, name, err)
		}
		files = append(files, os.NewFile(uintptr(firstSocket+i), name))
	}
	return files, nil
}
