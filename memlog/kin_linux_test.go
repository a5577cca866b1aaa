package memlog

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestBirths(t *testing.T) {
	type look struct {
		pid   int64 // given out last
		found bool  // by the walk, if there is one
		walks bool  // what is wanted
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"at rest: the second walk is the last", []look{{9, false, true}, {9, false, true}, {9, false, false}, {9, false, false}}},
		{"a pid was given out before its process was in the list", []look{{9, false, true}, {9, true, true}, {9, false, true}, {9, false, false}}},
		{"births all the time", []look{{9, false, true}, {10, true, true}, {11, false, true}, {12, false, true}}},
		{"one birth", []look{{9, false, true}, {9, false, true}, {9, false, false}, {10, true, true}, {10, false, true}, {10, false, false}}},
		{"a small pid again", []look{{9, false, true}, {9, false, true}, {3, false, true}, {3, false, true}, {3, false, false}}},
		{"not known", []look{{NA, false, true}, {NA, false, true}, {NA, false, true}}},
		{"not known at times", []look{{9, false, true}, {9, false, true}, {NA, false, true}, {9, false, true}, {9, false, true}, {9, false, false}}},
	}
	for _, tt := range tests {
		var b births
		for i, l := range tt.looks {
			walks := !b.none(l.pid)
			if walks != l.walks {
				t.Errorf("%s: look %d: walks is %t", tt.name, i, walks)
			}
			if walks {
				b.walked(l.found)
			}
		}
	}
}

// At rest nobody walks, and a birth is seen all the same.
func TestKinAtRest(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	p := probeOf(t, false, root)
	eventually(t, "a moment without births on this machine", func() bool {
		mustSample(t, p)
		return p.kin.births.quiet
	})
	checkMembers(t, p, root, root.spawn(false))
}

func TestAppendPIDs(t *testing.T) {
	for in, want := range map[string][]int{
		"": nil, "12 ": {12}, "12 345 6 ": {12, 345, 6}, "12 x 6 ": {12}, "-1 ": nil, "99999999999 5": nil, " 7\n8": {7, 8},
	} {
		if got := appendPIDs(nil, []byte(in)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

// More children than a read brings.
func TestReadAt(t *testing.T) {
	want := strings.Repeat("4711 ", 5000)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/children", []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	k := kin{buf: make([]byte, 16)}
	if got := k.readAt(int(d.Fd()), "children"); string(got) != want {
		t.Errorf("read %d bytes of %d", len(got), len(want))
	}
	if got := k.readAt(int(d.Fd()), "nothing"); got != nil {
		t.Errorf("read %q", got)
	}
}

func FuzzKin(f *testing.F) {
	for _, s := range []string{"12 345 ", "0.20 0.18 0.12 1/80 11206\n", "1 2 3 4 99999999999999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if pid, err := parseLastPID(b); (err == nil) != (pid >= 0) {
			t.Errorf("last pid %d, %v", pid, err)
		}
		fields := strings.FieldsFunc(string(b), func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
		for i, pid := range appendPIDs(nil, b) {
			if text := strings.TrimLeft(fields[i], "0"); pid < 0 || pid > 0 && text != fmt.Sprint(pid) {
				t.Errorf("pid %d of %q", pid, fields[i])
			}
		}
	})
}
