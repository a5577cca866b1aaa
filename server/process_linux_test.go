package server

import (
	"bytes"
	"os"
	"strconv"
	"testing"
)

// Descriptors are counted, both ways of counting agree, and resident memory is what the kernel calls so elsewhere.
func TestProcess(t *testing.T) {
	s := start(t, Config{})
	before := s.Stats()
	for range 100 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	after := s.Stats()
	if n := after.OpenFiles - before.OpenFiles; n < 90 || n > 110 { // earlier tests may still close some
		t.Errorf("%d descriptors, then %d: 100 were opened", before.OpenFiles, after.OpenFiles)
	}
	until(t, "both ways of counting agree", func() bool { return openDescriptors() == countFiles("/proc/self/fd") })
	// Other tests' memory comes and goes in between.
	until(t, "resident memory is VmRSS", func() bool {
		first := vmRSS(t)
		mine := s.Stats().Memory.Resident
		again := vmRSS(t)
		least, most := min(first, again), max(first, again)
		return mine >= least-least/16 && mine <= most+most/16
	})
}

// vmRSS is the resident memory in bytes as /proc/self/status has it.
func vmRSS(t *testing.T) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(b, []byte("\nVmRSS:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(line, []byte("kB")))), 10, 54)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
