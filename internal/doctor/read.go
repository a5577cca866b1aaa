package doctor

import (
	"fmt"
	"math"
	"os"
	"runtime"

	"cometctl/internal/rlimit"
)

// Read takes a Snapshot of this machine. It fails where not even the limits of this process can be had.
func Read() (Snapshot, error) {
	s := Snapshot{OS: runtime.GOOS, Processors: runtime.NumCPU(), Page: int64(os.Getpagesize())}
	limit, err := rlimit.Read()
	if err != nil {
		return s, fmt.Errorf("doctor: %w", err)
	}
	s.FilesHard = limited(limit.Hard)
	read(&s)
	return s, nil
}

// limited is a limit of rlimit's; none is nil.
func limited(n uint64) *int64 {
	if n == rlimit.Unlimited {
		return nil
	}
	return new(int64(min(n, math.MaxInt64)))
}
