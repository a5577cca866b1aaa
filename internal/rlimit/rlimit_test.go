package rlimit

import (
	"errors"
	"math"
	"runtime"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		hard     uint64
		n        int
		possible int // -1: nothing is short
		text     string
	}{
		{20000, 19936, -1, ""},
		{20000, 19937, 19936, "19937 connections need 20001 file descriptors, the hard limit here is 20000; raise it (ulimit -Hn) or ask for at most 19936"},
		{20000, 25000, 19936, "25000 connections need 25064 file descriptors, the hard limit here is 20000; raise it (ulimit -Hn) or ask for at most 19936"},
		{64, 0, -1, ""},
		{64, 1, 0, "1 connections need 65 file descriptors, the hard limit here is 64; raise it (ulimit -Hn) or ask for at most 0"},
		{10, 1, 0, "1 connections need 65 file descriptors, the hard limit here is 10; raise it (ulimit -Hn) or ask for at most 0"},
		{Unlimited, math.MaxInt, -1, ""},
		{20000, -5, -1, ""},
	} {
		err := Files{Soft: 1, Hard: c.hard}.check(c.n, "connections")
		if c.possible < 0 {
			if err != nil {
				t.Errorf("%d of %d: %v", c.n, c.hard, err)
			}
			continue
		}
		var short *Shortage
		if !errors.As(err, &short) {
			t.Errorf("%d of %d: %v, want a *Shortage", c.n, c.hard, err)
			continue
		}
		if short.Possible() != c.possible || short.Error() != c.text {
			t.Errorf("%d of %d: possible %d, %q", c.n, c.hard, short.Possible(), short)
		}
		if err := (Files{Hard: c.hard}).check(short.Possible(), "connections"); c.possible > 0 && err != nil {
			t.Errorf("what is called possible is refused: %v", err)
		}
	}
}

func TestRaise(t *testing.T) {
	raised, err := Raise()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if raised != read || read.Soft != read.Hard || read.Hard == 0 {
		t.Errorf("raised to %+v, then read %+v; want soft = hard = the same", raised, read)
	}
	if err := Check(0, "connections"); err != nil {
		t.Errorf("nothing at all is refused: %v", err)
	}
	if read.Hard < math.MaxInt64 {
		var short *Shortage
		if err := Check(int(read.Hard), "connections"); !errors.As(err, &short) {
			t.Errorf("as many connections as descriptors leaves none for the rest, got %v", err)
		}
	}
}

func TestSystem(t *testing.T) {
	n, err := Somaxconn()
	lo, hi, perr := Ports()
	if runtime.GOOS != "linux" {
		if !errors.Is(err, ErrUnknown) || !errors.Is(perr, ErrUnknown) {
			t.Errorf("somaxconn: %v, ports: %v; want ErrUnknown", err, perr)
		}
		return
	}
	if err != nil || n <= 0 {
		t.Errorf("somaxconn is %d, %v", n, err)
	}
	if perr != nil || lo <= 0 || hi < lo {
		t.Errorf("ports are %d to %d, %v", lo, hi, perr)
	}
}

var portTests = []struct {
	text   string
	lo, hi int
}{
	{"32768\t60999\n", 32768, 60999},
	{"1 65535", 1, 65535},
	{"40000 40000\n", 40000, 40000},
	{"", 0, 0},
	{"32768", 0, 0},
	{"32768 60999 1", 0, 0},
	{"60999 32768", 0, 0},
	{"0 65535", 0, 0},
	{"1 65536", 0, 0},
	{"a b", 0, 0},
}

func TestParsePorts(t *testing.T) {
	for _, c := range portTests {
		lo, hi, err := parsePorts(c.text)
		if lo != c.lo || hi != c.hi || (err == nil) != (c.lo > 0) {
			t.Errorf("%q: %d to %d, %v; want %d to %d", c.text, lo, hi, err, c.lo, c.hi)
		}
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, c := range portTests {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lo, hi, err := parsePorts(text)
		if err == nil && (lo < 1 || hi < lo || hi > math.MaxUint16) {
			t.Errorf("%q is taken for %d to %d", text, lo, hi)
		}
	})
}
