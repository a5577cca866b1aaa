package server

import (
	"os"
	"runtime/debug"
	"testing"
)

// Descriptors are counted, both ways of counting agree, and memory that is touched is resident.
func TestProcess(t *testing.T) {
	s := start(t, Config{})
	for range 3 { // what earlier tests have left is resident already, and pools let go of it by the second collection only
		debug.FreeOSMemory()
	}
	before := s.Stats()
	for range 100 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	touched := make([]byte, 64<<20)
	for i := 0; i < len(touched); i += os.Getpagesize() {
		touched[i] = 1
	}
	after := s.Stats()
	if n := after.OpenFiles - before.OpenFiles; n < 90 || n > 110 { // earlier tests may still close some
		t.Errorf("%d descriptors, then %d: 100 were opened", before.OpenFiles, after.OpenFiles)
	}
	until(t, "both ways of counting agree", func() bool { return openDescriptors() == countFiles("/proc/self/fd") })
	// The race detector's shadow is resident, too.
	if more := int64(after.Memory.Resident - before.Memory.Resident); more < 32<<20 || more > 320<<20 {
		t.Errorf("64 MiB were touched, %d bytes are resident more", more)
	}
	if touched[0] != 1 {
		t.Error("never")
	}
}
