package server

import (
	"os"
	"testing"
)

// Each descriptor more is counted, both ways of counting agree, and memory that is touched is resident.
func TestProcess(t *testing.T) {
	s := start(t, Config{})
	before := s.Stats()
	for range 10 {
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
	if n := after.OpenFiles - before.OpenFiles; n != 10 || after.OpenFiles != countFiles("/proc/self/fd") {
		t.Errorf("%d descriptors, then %d: 10 were opened; %d are in the directory", before.OpenFiles, after.OpenFiles, countFiles("/proc/self/fd"))
	}
	if more := int64(after.Memory.Resident - before.Memory.Resident); more < 60<<20 || more > 80<<20 {
		t.Errorf("64 MiB were touched, %d bytes are resident more", more)
	}
	if touched[0] != 1 {
		t.Error("never")
	}
}
