package memlog

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	for _, target := range []Target{{PIDs: []int{os.Getpid()}}, {Port: port}} {
		if got, err := Find(target); err != nil || !slices.Equal(got, []int{os.Getpid()}) {
			t.Errorf("%v: %v, %v, want %d", target, got, err, os.Getpid())
		}
	}
	l.Close()
	for _, target := range []Target{{PIDs: []int{1 << 30}}, {Port: port}} {
		got, err := Find(target)
		if !errors.Is(err, ErrNoTarget) || !strings.Contains(err.Error(), target.String()) {
			t.Errorf("%v: %v, %v", target, got, err)
		}
	}
}
